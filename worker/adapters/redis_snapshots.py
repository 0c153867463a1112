"""Snapshots in Redis: immutable manifests of immutable chunks. A manifest is written after all of its chunks."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from typing import cast

import redis

from worker.adapters.redis_client import translate_errors
from worker.adapters.redis_keys import Keys
from worker.core.state.snapshot import HEAD, Chunk, Snapshot, chunk_name
from worker.ports.stores import MissingObject

STRANGERS_MS = 86_400_000
"""Snapshots that are not our own are collected when they are this old."""


class RedisSnapshots:
    """The `SnapshotStore` port."""

    def __init__(self, client: redis.Redis, stream: str) -> None:
        self._client = client
        self._keys = Keys(stream)

    @translate_errors
    def put(self, snapshot: Snapshot) -> None:
        topic, partition = snapshot.topic, snapshot.partition
        for sha256, content in snapshot.contents.items():
            self._client.set(self._keys.chunk(topic, partition, sha256), content)
        names = {self._keys.chunk(topic, partition, chunk.sha256) for chunk in snapshot.chunks}
        if self._client.exists(*names) != len(names):
            raise MissingObject(f"a chunk that snapshot {snapshot.id} of {topic}/{partition} shares is not in Redis")
        with self._client.pipeline(transaction=True) as pipe:
            pipe.set(self._keys.snapshot(topic, partition, snapshot.id), snapshot.manifest)
            pipe.zadd(self._keys.snapshots(topic, partition), {snapshot.id: snapshot.offset})
            pipe.execute()

    @translate_errors
    def get(
        self, topic: str, partition: int, snapshot_id: str, tables: Container[str] | None = None
    ) -> Snapshot | None:
        raw = cast(bytes | None, self._client.get(self._keys.snapshot(topic, partition, snapshot_id)))
        found = _read(raw)
        if found is None or found.id != snapshot_id:
            return None
        contents = {}
        for chunk in found.chunks:
            if tables is not None and chunk.table != HEAD and chunk.table not in tables:
                continue
            content = cast(bytes | None, self._client.get(self._keys.chunk(topic, partition, chunk.sha256)))
            if content is None or chunk_name(content) != chunk.sha256:
                return None
            contents[chunk.sha256] = content
        return replace(found, contents=contents)

    def newest_at_or_below(self, topic: str, topic_id: str, partition: int, offset: int) -> Snapshot | None:
        for snapshot_id in self._ids(topic, partition, offset):
            snapshot = self.get(topic, partition, snapshot_id)
            if snapshot is not None and snapshot.topic_id == topic_id:
                return snapshot
        return None

    @translate_errors
    def _ids(self, topic: str, partition: int, offset: int | str) -> list[str]:
        found = self._client.zrevrangebyscore(self._keys.snapshots(topic, partition), offset, "-inf")
        return [raw.decode() for raw in cast(list[bytes], found)]

    @translate_errors
    def collect(self, snapshot: Snapshot, kept: Container[str], now_ms: int, ours: Callable[[], bool]) -> int:
        topic, partition, keys = snapshot.topic, snapshot.partition, self._keys
        ids = self._ids(topic, partition, "+inf")
        raws = cast(list[bytes | None], self._client.mget([keys.snapshot(topic, partition, i) for i in ids]))
        line = {ancestor.id for ancestor in snapshot.ancestors}
        gone, doomed, needed = [], set[str](), set[str]()
        for snapshot_id, manifest in zip(ids, map(_read, raws), strict=True):
            chunks: Iterable[Chunk] = manifest.chunks if manifest is not None else ()
            old = manifest is None or manifest.created_ms < now_ms - STRANGERS_MS
            mine = snapshot_id in line or snapshot_id == snapshot.id
            if snapshot_id in kept or not (mine or old):
                needed |= {chunk.sha256 for chunk in chunks}
            else:
                gone.append(snapshot_id)
                doomed |= {chunk.sha256 for chunk in chunks}
        if not gone or not ours():
            return 0
        with self._client.pipeline(transaction=True) as pipe:
            pipe.zrem(keys.snapshots(topic, partition), *gone)
            pipe.delete(*(keys.snapshot(topic, partition, snapshot_id) for snapshot_id in gone))
            if doomed - needed:
                pipe.delete(*(keys.chunk(topic, partition, sha256) for sha256 in doomed - needed))
            pipe.execute()
        return len(gone)


def _read(raw: bytes | None) -> Snapshot | None:
    """The snapshot without contents; None if the manifest is missing or has another format."""
    try:
        return Snapshot.from_manifest(raw) if raw is not None else None
    except ValueError:
        return None
