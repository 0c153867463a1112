"""Snapshots in Redis: immutable manifests over immutable chunks. Nothing becomes visible before all of it is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import cast

import redis

from worker.adapters.redis_client import translated
from worker.adapters.redis_keys import Keys
from worker.ports import Snapshot

KEPT_LAST = 3
HOUR_MS, DAY_MS, WEEK_MS = 3_600_000, 86_400_000, 604_800_000


class RedisSnapshots:
    def __init__(self, client: redis.Redis, stream: str) -> None:
        self._client = client
        self._keys = Keys(stream)

    @translated
    def put(self, snapshot: Snapshot) -> None:
        topic, partition = snapshot.topic, snapshot.partition
        self._client.set(self._keys.chunk(topic, partition, snapshot.chunk_sha256), snapshot.chunk)
        with self._client.pipeline(transaction=True) as pipe:
            pipe.set(self._keys.snapshot(topic, partition, snapshot.id), snapshot.manifest)
            pipe.zadd(self._keys.snapshots(topic, partition), {snapshot.id: snapshot.offset})
            pipe.execute()

    @translated
    def get(self, topic: str, partition: int, snapshot_id: str) -> Snapshot | None:
        raw = cast(bytes | None, self._client.get(self._keys.snapshot(topic, partition, snapshot_id)))
        if raw is None:
            return None
        plain = json.loads(raw)
        chunk = cast(bytes | None, self._client.get(self._keys.chunk(topic, partition, plain["chunks"][0])))
        if chunk is None or hashlib.sha256(chunk).hexdigest() != plain["chunks"][0]:
            return None
        for derived in ("format", "chunks", "size"):
            del plain[derived]
        snapshot = Snapshot(**plain, chunk=chunk)
        return snapshot if snapshot.id == snapshot_id else None

    def newest_at_or_below(self, topic: str, topic_id: str, partition: int, offset: int) -> Snapshot | None:
        for snapshot_id in self._ids(topic, partition, offset):
            snapshot = self.get(topic, partition, snapshot_id)
            if snapshot is not None and snapshot.topic_id == topic_id:
                return snapshot
        return None

    @translated
    def _ids(self, topic: str, partition: int, offset: int) -> list[str]:
        found = self._client.zrevrangebyscore(self._keys.snapshots(topic, partition), offset, "-inf")
        return [raw.decode() for raw in cast(list[bytes], found)]

    @translated
    def collect(self, topic: str, partition: int, named: Sequence[str], now_ms: int) -> int:
        """Kept: the last three, the first of each hour of the last day and of each day of the last week, and what is
        named.
        """
        keys = self._keys
        ids = [
            raw.decode() for raw in cast(list[bytes], self._client.zrevrange(keys.snapshots(topic, partition), 0, -1))
        ]
        if len(ids) <= KEPT_LAST:
            return 0
        raws = cast(list[bytes | None], self._client.mget([keys.snapshot(topic, partition, i) for i in ids]))
        manifests = {i: json.loads(raw) for i, raw in zip(ids, raws, strict=True) if raw is not None}
        kept = {*ids[:KEPT_LAST], *named}
        slots: set[tuple[str, int]] = set()
        for snapshot_id in reversed(ids):
            manifest = manifests.get(snapshot_id)
            if manifest is None:
                continue
            created = manifest["created_ms"]
            for name, width, span in (("hour", HOUR_MS, DAY_MS), ("day", DAY_MS, WEEK_MS)):
                if now_ms - created < span and (name, created // width) not in slots:
                    slots.add((name, created // width))
                    kept.add(snapshot_id)
        gone = [snapshot_id for snapshot_id in ids if snapshot_id not in kept]
        if not gone:
            return 0
        chunks = {manifests[i]["chunks"][0] for i in kept if i in manifests}
        doomed = {manifests[i]["chunks"][0] for i in gone if i in manifests} - chunks
        with self._client.pipeline(transaction=True) as pipe:
            pipe.zrem(keys.snapshots(topic, partition), *gone)
            pipe.delete(*(keys.snapshot(topic, partition, snapshot_id) for snapshot_id in gone))
            if doomed:
                pipe.delete(*(keys.chunk(topic, partition, sha256) for sha256 in doomed))
            pipe.execute()
        return len(gone)
