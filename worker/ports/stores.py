"""The ports to what outlives a process: registry, snapshots, cold-start samples, lease."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Protocol

from worker.core.model.bundle import Bundle
from worker.core.model.serving_model import Signatures
from worker.core.model.threshold import Threshold
from worker.core.state.snapshot import Snapshot


class StoreUnavailable(Exception):
    """The store did not answer in time, or refuses writes for now; try again."""


class MissingPart(Exception):
    """Something named by a commit, a champion or a caller is not in the store; the text says what."""


@dataclass(frozen=True, slots=True)
class Champion:
    """The pair that serves, by digest; `version` labels the bundle, `token` is the fencing token of the write."""

    bundle: str
    threshold: str
    version: int
    token: int

    @property
    def order(self) -> tuple[int, int]:
        """Later ones are larger: an operator's rollback has a token of its own, a trainer's versions share one."""
        return self.token, self.version


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """A bundle in the registry, without its weights."""

    digest: str
    version: int
    kind: str
    spec_hash: str
    created_at: str
    parent: str | None
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Cold-start rows of one partition from `first_offset` on; `columns` as `worker.core.events.columns.to_bytes`."""

    topic_id: str
    topic: str
    partition: int
    first_offset: int
    rows: int
    columns: bytes


class Registry(Protocol):
    """Bundles and thresholds by digest, and the champion. Every call may raise StoreUnavailable."""

    def champion(self, spec_hash: str) -> Champion | None: ...
    def bundle(self, digest: str) -> Bundle:
        """Raises MissingPart, BundleRefused."""

    def threshold(self, digest: str) -> Threshold:
        """Raises MissingPart, BundleRefused."""

    def put_bundle(self, bundle: Bundle) -> None: ...
    def put_threshold(self, threshold: Threshold) -> None: ...
    def promote(self, spec_hash: str, champion: Champion) -> bool:
        """One atomic write; False where a later token has written, MissingPart where bundle or threshold is not
        there.
        """

    def restore(
        self, spec_hash: str, champion: Champion, bundle: Bundle, threshold: Threshold, signatures: Signatures
    ) -> bool:
        """Give back a champion that the store has lost, with its parts: one atomic write, which also lifts the counters
        of versions and tokens to its own. False, and nothing written, where one that is not older is there.
        """

    def signatures(self, bundle: str, threshold: str) -> Signatures:
        """As stored, unchecked."""

    def history(self, spec_hash: str) -> list[Champion]:
        """Champions so far, newest first."""

    def next_version(self) -> int: ...
    def next_token(self) -> int:
        """A fencing token of its own, larger than any before: for writes by an operator."""

    def bundles(self) -> list[BundleInfo]:
        """Newest version first."""


class SnapshotStore(Protocol):
    """Every call may raise StoreUnavailable."""

    def put(self, snapshot: Snapshot) -> None:
        """Chunks first, the manifest last. Raises MissingPart where a chunk that it shares is not there."""

    def get(
        self, topic: str, partition: int, snapshot_id: str, tables: Container[str] | None = None
    ) -> Snapshot | None:
        """With its contents, or only those of the head and of some `tables`. None where any part is missing or
        damaged: such a snapshot does not exist.
        """

    def newest_at_or_below(self, topic: str, topic_id: str, partition: int, offset: int) -> Snapshot | None: ...
    def collect(self, snapshot: Snapshot, kept: Container[str], now_ms: int, ours: Callable[[], bool]) -> int:
        """Delete what `snapshot` grew from and `kept` does not hold, and strangers a day old; returns how many
        snapshots went. `ours` is asked just before anything is deleted.
        """


class SampleStore(Protocol):
    def add(self, topic_id: str, topic: str, partition: int, first_offset: int, columns: bytes, rows: int) -> None: ...
    def rows(self) -> int: ...
    def read(self) -> list[SampleBlock]:
        """By topic id, partition and first offset; blocks that overlap an earlier one are left out."""

    def clear(self) -> None: ...


class Lease(Protocol):
    """A time-limited claim; `acquire` yields a fencing token larger than any before, None while another holds it."""

    def acquire(self) -> int | None: ...
    def renew(self) -> bool: ...
    def release(self) -> None: ...
