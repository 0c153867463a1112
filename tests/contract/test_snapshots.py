"""Snapshots and samples, on the real Redis and on the fake."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import redis

from tests.services.redis import RedisServer
from worker.adapters.redis_client import connect
from worker.adapters.redis_samples import RedisSamples
from worker.adapters.redis_snapshots import RedisSnapshots
from worker.core.state.retention import DAY_MS
from worker.core.state.snapshot import Chunk, Snapshot, chunk_name
from worker.ports.stores import MissingObject, SnapshotStore, StoreUnavailable

NOW = 1_800_000_000_000


def snapshot(
    offset: int,
    *,
    on: Snapshot | None = None,
    tables: Mapping[str, bytes] | None = None,
    topic_id: str = "id",
    created_ms: int = NOW,
) -> Snapshot:
    """A snapshot with its own head and a chunk per table; it shares the chunks of an earlier one, `on`."""
    contents = {"head": b"head %d of %d" % (offset, created_ms), **(tables or {})}
    chunks = [chunk for chunk in on.chunks if chunk.table != "head"] if on is not None else []
    chunks += [Chunk(name, offset, 1, chunk_name(content), len(content)) for name, content in contents.items()]
    line = (on.ancestor, *on.ancestors) if on is not None else ()
    named = {chunk_name(content): content for content in contents.values()}
    return Snapshot("t", topic_id, 0, offset, "sha256:s", "b", "t", created_ms, line, tuple(chunks), named)


def ours() -> bool:
    return True


def test_a_stored_snapshot_is_read_back(store: SnapshotStore) -> None:
    stored = snapshot(5, tables={"recent": b"r", "entities": b"e"})
    store.put(stored)
    found = store.get("t", 0, stored.id)
    assert found == stored
    assert found is not None and found.contents == stored.contents
    assert store.get("t", 0, "nowhere") is None
    assert store.get("t", 1, stored.id) is None
    some = store.get("t", 0, stored.id, {"recent"})
    assert some is not None and sorted(some.contents.values()) == [b"head 5 of 1800000000000", b"r"]


def test_unchanged_chunks_are_shared(store: SnapshotStore) -> None:
    first = snapshot(5, tables={"recent": b"many rows"})
    store.put(first)
    second = snapshot(9, on=first, tables={"lasting": b"few"})
    assert b"many rows" not in second.contents.values()
    store.put(second)
    found = store.get("t", 0, second.id)
    assert found is not None and b"many rows" in found.contents.values()


def test_sharing_a_missing_chunk_is_refused(store: SnapshotStore) -> None:
    first = snapshot(5, tables={"recent": b"many rows"})
    second = snapshot(9, on=first)
    with pytest.raises(MissingObject, match=r"t/0"):
        store.put(second)
    assert store.get("t", 0, second.id) is None


def test_a_snapshot_with_a_missing_or_damaged_part_counts_as_missing(client: redis.Redis, stream: str) -> None:
    store, stored = RedisSnapshots(client, stream), snapshot(5)
    chunk = f"offbeat:{{{stream}}}:chunk:t:0:{stored.chunks[0].sha256}"
    store.put(stored)
    client.set(chunk, b"damaged")
    assert store.get("t", 0, stored.id) is None
    client.delete(chunk)
    assert store.get("t", 0, stored.id) is None
    assert store.newest_at_or_below("t", "id", 0, 10) is None
    client.set(f"offbeat:{{{stream}}}:snapshot:t:0:{stored.id}", b'{"format": 1}')
    assert store.get("t", 0, stored.id) is None


def test_the_newest_at_or_below_an_offset_of_this_topic_id(store: SnapshotStore) -> None:
    for stored in (snapshot(5), snapshot(9), snapshot(7, topic_id="recreated")):
        store.put(stored)
    found = [store.newest_at_or_below("t", "id", 0, offset) for offset in (4, 5, 8, 9, 2**62)]
    assert [each.offset if each else None for each in found] == [None, 5, 5, 9, 9]


def test_an_owner_collects_its_own_line_and_strangers_of_yesterday(store: SnapshotStore) -> None:
    line = [snapshot(0, tables={"recent": b"shared"})]
    for offset in (1, 2, 3):
        line.append(snapshot(offset, on=line[-1], tables={"lasting": b"new %d" % offset}))
    strangers = [snapshot(7, created_ms=NOW - 1_000), snapshot(8, created_ms=NOW - 2 * DAY_MS)]
    for each in (*line, *strangers):
        store.put(each)
    kept = {line[3].id, line[2].id}
    assert store.collect(line[3], kept, NOW, lambda: False) == 0
    assert store.collect(line[3], kept, NOW, ours) == 3
    there = [store.get("t", 0, each.id) is not None for each in (*line, *strangers)]
    assert there == [False, False, True, True, True, False]


def test_snapshots_of_a_later_owner_are_not_collected(store: SnapshotStore) -> None:
    """After a rewind, a stale owner finds snapshots that the next owner has built on its own."""
    base = snapshot(1, tables={"recent": b"base"})
    stale, fresh = snapshot(3, on=base), snapshot(2, on=base, tables={"lasting": b"theirs"})
    for each in (base, stale, fresh):
        store.put(each)
    store.collect(stale, {stale.id}, NOW, ours)
    assert store.get("t", 0, base.id) is None
    assert store.get("t", 0, fresh.id) == fresh


def test_samples_are_idempotent_ordered_and_without_overlap(client: redis.Redis, stream: str) -> None:
    samples = RedisSamples(client, stream)
    samples.add("id", "t", 1, 0, b"c", 3)
    samples.add("id", "t", 0, 5, b"b", 5)
    samples.add("id", "t", 0, 0, b"a", 5)
    samples.add("id", "t", 0, 0, b"a", 5)
    samples.add("id", "t", 0, 2, b"overlaps", 4)
    assert [(b.partition, b.first_offset, b.columns) for b in samples.read()] == [
        (0, 0, b"a"),
        (0, 5, b"b"),
        (1, 0, b"c"),
    ]
    assert samples.rows() >= 13
    samples.clear()
    assert samples.read() == []
    assert samples.rows() == 0


def test_a_server_that_is_gone_is_store_unavailable(own_redis: RedisServer, stream: str) -> None:
    store = RedisSnapshots(connect(own_redis.url), stream)
    store.put(snapshot(1))
    own_redis.stop()
    with pytest.raises(StoreUnavailable):
        store.put(snapshot(2))
    own_redis.start()
    store.put(snapshot(3))
