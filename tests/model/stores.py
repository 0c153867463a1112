"""The Redis ports in memory, for the schedules. They pass the same contract tests as the real adapters."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import replace

from training.learn.versioning import Trained
from worker.adapters.redis_snapshots import STRANGERS_MS
from worker.core.model.bundle import Bundle
from worker.core.model.serving_model import Signatures
from worker.core.model.threshold import Threshold
from worker.core.state.snapshot import HEAD, Chunk, Snapshot, chunk_name
from worker.ports.log import TopicPartition
from worker.ports.stores import BundleInfo, Champion, MissingObject


class MemorySnapshots:
    """Snapshots in memory. Every call begins with `check_up`, which raises StoreUnavailable while Redis is down."""

    def __init__(self, check_up: Callable[[], None] = lambda: None) -> None:
        self._check_up = check_up
        self.manifests: dict[TopicPartition, dict[str, bytes]] = {}
        self.chunks: dict[tuple[TopicPartition, str], bytes] = {}

    def wipe(self) -> None:
        self.manifests.clear()
        self.chunks.clear()

    def put(self, snapshot: Snapshot) -> None:
        self._check_up()
        place = TopicPartition(snapshot.topic, snapshot.partition)
        self.chunks |= {(place, sha256): content for sha256, content in snapshot.contents.items()}
        if any((place, chunk.sha256) not in self.chunks for chunk in snapshot.chunks):
            raise MissingObject(f"a chunk that snapshot {snapshot.id} of {place.topic}/{place.partition} shares")
        self.manifests.setdefault(place, {})[snapshot.id] = snapshot.manifest

    def get(
        self, topic: str, partition: int, snapshot_id: str, tables: Container[str] | None = None
    ) -> Snapshot | None:
        self._check_up()
        place = TopicPartition(topic, partition)
        raw = self.manifests.get(place, {}).get(snapshot_id)
        if raw is None:
            return None
        snapshot = Snapshot.from_manifest(raw)
        contents = {}
        for chunk in snapshot.chunks:
            if tables is not None and chunk.table != HEAD and chunk.table not in tables:
                continue
            content = self.chunks.get((place, chunk.sha256))
            if content is None or chunk_name(content) != chunk.sha256:
                return None
            contents[chunk.sha256] = content
        return replace(snapshot, contents=contents)

    def newest_at_or_below(self, topic: str, topic_id: str, partition: int, offset: int) -> Snapshot | None:
        self._check_up()
        stored = self._all(TopicPartition(topic, partition))
        for bare in sorted(stored, key=lambda snapshot: (snapshot.offset, snapshot.id), reverse=True):
            snapshot = self.get(topic, partition, bare.id) if bare.offset <= offset else None
            if snapshot is not None and snapshot.topic_id == topic_id:
                return snapshot
        return None

    def collect(self, snapshot: Snapshot, kept: Container[str], now_ms: int, ours: Callable[[], bool]) -> int:
        self._check_up()
        place = TopicPartition(snapshot.topic, snapshot.partition)
        line = {snapshot.id, *(ancestor.id for ancestor in snapshot.ancestors)}
        unwanted, needed = [], set[str]()
        for stored in self._all(place):
            old = stored.created_ms < now_ms - STRANGERS_MS
            if stored.id in kept or not (stored.id in line or old):
                needed |= {chunk.sha256 for chunk in stored.chunks}
            else:
                unwanted.append(stored)
        if not unwanted or not ours():
            return 0
        for stored in unwanted:
            del self.manifests[place][stored.id]
            self._drop(place, stored.chunks, needed)
        return len(unwanted)

    def _all(self, place: TopicPartition) -> list[Snapshot]:
        return [Snapshot.from_manifest(raw) for raw in self.manifests.get(place, {}).values()]

    def _drop(self, place: TopicPartition, chunks: Iterable[Chunk], needed: set[str]) -> None:
        for chunk in chunks:
            if chunk.sha256 not in needed:
                self.chunks.pop((place, chunk.sha256), None)


class MemoryRegistry:
    """A registry in memory. `check_up` as in MemorySnapshots. Bundles are shared, not copied: they are immutable."""

    def __init__(self, check_up: Callable[[], None] = lambda: None) -> None:
        self._check_up = check_up
        self._bundles: dict[str, Bundle] = {}
        self._thresholds: dict[str, Threshold] = {}
        self._champions: dict[str, list[Champion]] = {}
        self._version = self._token = 0

    def wipe(self) -> None:
        self._bundles, self._thresholds, self._champions = {}, {}, {}
        self._version = self._token = 0

    def champion(self, spec_hash: str) -> Champion | None:
        self._check_up()
        line = self._champions.get(spec_hash)
        return line[-1] if line else None

    def bundle(self, digest: str) -> Bundle:
        self._check_up()
        if digest not in self._bundles:
            raise MissingObject(f"bundle {digest}")
        return self._bundles[digest]

    def threshold(self, digest: str) -> Threshold:
        self._check_up()
        if digest not in self._thresholds:
            raise MissingObject(f"threshold {digest}")
        return self._thresholds[digest]

    def put_bundle(self, bundle: Bundle) -> None:
        self._check_up()
        self._bundles[bundle.digest] = bundle
        self._version = max(self._version, bundle.manifest.version)

    def put_threshold(self, threshold: Threshold) -> None:
        self._check_up()
        self._thresholds[threshold.digest()] = threshold

    def put_version(self, version: Trained) -> None:
        """Both parts of a trained version."""
        self.put_bundle(version.bundle)
        self.put_threshold(version.threshold)

    def promote_version(self, spec_hash: str, version: Trained) -> Champion:
        """Store a trained version and make it the champion, as an operator would."""
        bundle, threshold = version.bundle, version.threshold
        champion = Champion(bundle.digest, threshold.digest(), bundle.manifest.version, self.next_token())
        self.put_version(version)
        self.promote(spec_hash, champion)
        return champion

    def promote(self, spec_hash: str, champion: Champion) -> bool:
        self._check_up()
        self.bundle(champion.bundle)
        self.threshold(champion.threshold)
        line = self._champions.setdefault(spec_hash, [])
        if line and line[-1].token > champion.token:
            return False
        line.append(champion)
        self._token = max(self._token, champion.token)
        return True

    def restore(
        self, spec_hash: str, champion: Champion, bundle: Bundle, threshold: Threshold, signatures: Signatures
    ) -> bool:
        self._check_up()
        line = self._champions.setdefault(spec_hash, [])
        if line and line[-1].order >= champion.order:
            return False
        self.put_bundle(bundle)
        self.put_threshold(threshold)
        self._version, self._token = max(self._version, champion.version), max(self._token, champion.token)
        line.append(champion)
        return True

    def signatures(self, bundle: str, threshold: str) -> Signatures:
        self._check_up()
        return Signatures(None, None)

    def history(self, spec_hash: str) -> list[Champion]:
        self._check_up()
        return self._champions.get(spec_hash, [])[::-1]

    def next_version(self) -> int:
        self._check_up()
        self._version += 1
        return self._version

    def next_token(self) -> int:
        self._check_up()
        self._token += 1
        return self._token

    def bundles(self) -> list[BundleInfo]:
        raise NotImplementedError("the loop does not list bundles")
