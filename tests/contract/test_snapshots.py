"""Snapshots and samples, on the real Redis and on the fake."""

from __future__ import annotations

import pytest
import redis

from tests.services.redis import RedisServer
from worker.adapters.redis_client import connect
from worker.adapters.redis_samples import RedisSamples
from worker.adapters.redis_snapshots import DAY_MS, HOUR_MS, RedisSnapshots
from worker.ports import Snapshot, StoreUnavailable

NOW = 1_800_000_000_000


def snapshot(offset: int, *, chunk: bytes | None = None, topic_id: str = "id", created_ms: int = NOW) -> Snapshot:
    return Snapshot("t", topic_id, 0, offset, None, "sha256:s", "b", "t", chunk or b"%d" % offset, created_ms)


def test_what_is_put_is_got(client: redis.Redis, stream: str) -> None:
    store, made = RedisSnapshots(client, stream), snapshot(5)
    store.put(made)
    assert store.get("t", 0, made.id) == made
    assert store.get("t", 0, "nowhere") is None
    assert store.get("t", 1, made.id) is None


def test_a_snapshot_with_a_missing_or_damaged_part_does_not_exist(client: redis.Redis, stream: str) -> None:
    store, made = RedisSnapshots(client, stream), snapshot(5)
    chunk = f"offbeat:{{{stream}}}:chunk:t:0:{made.chunk_sha256}"
    store.put(made)
    client.set(chunk, b"damaged")
    assert store.get("t", 0, made.id) is None
    client.delete(chunk)
    assert store.get("t", 0, made.id) is None
    assert store.newest_at_or_below("t", "id", 0, 10) is None


def test_the_newest_at_or_below_an_offset_of_this_topic_id(client: redis.Redis, stream: str) -> None:
    store = RedisSnapshots(client, stream)
    for made in (snapshot(5), snapshot(9), snapshot(7, topic_id="recreated")):
        store.put(made)
    found = [store.newest_at_or_below("t", "id", 0, offset) for offset in (4, 5, 8, 9, 2**62)]
    assert [one.offset if one else None for one in found] == [None, 5, 5, 9, 9]


def test_retention_keeps_the_last_the_hourly_the_daily_and_the_named(client: redis.Redis, stream: str) -> None:
    store = RedisSnapshots(client, stream)
    ages = [8 * DAY_MS, 3 * DAY_MS, 3 * DAY_MS - 5, 5 * HOUR_MS, 5 * HOUR_MS - 5, 30, 20, 10, 0]
    made = [snapshot(i, created_ms=NOW - NOW % DAY_MS - age) for i, age in enumerate(ages)]
    for one in made:
        store.put(one)
    store.collect("t", 0, [made[5].id], NOW - NOW % DAY_MS)
    kept = [one.offset for one in made if store.get("t", 0, one.id) is not None]
    assert kept[-3:] == [6, 7, 8]
    assert 5 in kept  # named
    assert 1 in kept  # the first of its day
    assert 2 not in kept
    assert 0 not in kept  # older than a week
    assert 3 in kept  # the first of its hour
    assert 4 not in kept


def test_a_chunk_that_a_kept_snapshot_shares_stays(client: redis.Redis, stream: str) -> None:
    store = RedisSnapshots(client, stream)
    made = [snapshot(i, chunk=b"same", created_ms=NOW - 9 * DAY_MS) for i in range(5)]
    for one in made:
        store.put(one)
    assert store.collect("t", 0, [], NOW) == 2
    assert store.get("t", 0, made[4].id) == made[4]


def test_samples_are_idempotent_ordered_and_without_overlap(client: redis.Redis, stream: str) -> None:
    samples = RedisSamples(client, stream)
    samples.add("id", "t", 1, 0, b"c", 3)
    samples.add("id", "t", 0, 5, b"b", 5)
    samples.add("id", "t", 0, 0, b"a", 5)
    samples.add("id", "t", 0, 0, b"a", 5)
    samples.add("id", "t", 0, 2, b"overlaps", 4)
    assert [(b.partition, b.first_offset, b.columns) for b in samples.read()] == [
        (0, 0, b"a"), (0, 5, b"b"), (1, 0, b"c"),
    ]  # fmt: skip
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
