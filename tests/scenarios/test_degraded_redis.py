"""Redis takes no writes, is emptied or restored from an old backup: scoring goes on, and the loss is made good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis
import structlog

from tests.scenarios.anomalies import PLAIN, RECORDS, assert_each_alerted_once
from tests.scenarios.inprocess import InProcessWorker, in_process
from tests.scenarios.stream import Stream, encoded, make
from tests.services.kafka import KafkaCluster
from tests.services.process import free_port
from tests.services.redis import RedisServer
from worker.adapters.redis_keys import Keys
from worker.errors import ConfigError


@pytest.fixture
def setup(kafka: KafkaCluster, own_redis: RedisServer, stream: str, tmp_path: Path) -> Stream:
    """A stream with a model, on a Redis of its own."""
    setup = make(kafka, own_redis.url, tmp_path, stream)
    setup.train()
    return setup


def champion(setup: Stream) -> Any:
    return setup.registry.champion(setup.settings.spec.spec_hash)


def out_of_memory(client: redis.Redis) -> None:
    client.config_set("maxmemory", "1")


def read_only(client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", free_port())


def repair(client: redis.Redis) -> None:
    client.config_set("maxmemory", "0")
    client.replicaof("NO", "ONE")


@pytest.mark.parametrize("broken", [out_of_memory, read_only])
def test_scoring_goes_on_while_redis_takes_no_writes(setup: Stream, broken: Any) -> None:
    with in_process(setup) as member:
        member.turn_until_live()
        member.turn_until(member.snapshotted)
        broken(setup.client)
        with structlog.testing.capture_logs() as logs:
            setup.kafka.produce(setup.settings.stream, encoded(PLAIN))
            member.turn_until_committed(RECORDS)
            member.turn_until(lambda: member.telemetry.snapshots_failed >= 3)
        errors = {entry["error"] for entry in logs if entry["event"] == "snapshot_failed"}
        assert any(word in error for error in errors for word in ("OutOfMemory", "ReadOnly"))
        member.feed.refresh()
        assert member.feed.reachable, "the champion can still be read"
        written = member.telemetry.snapshots_written
        repair(setup.client)
        member.turn_until(lambda: member.telemetry.snapshots_written >= written + 2 and member.snapshotted())
    assert_each_alerted_once(setup)


def test_an_emptied_redis_gets_back_the_champion_the_counters_and_whole_snapshots(
    setup: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.partitions.snapshot_audit.CHECK_EVERY_S", 0.5)
    for _ in range(40):
        setup.registry.next_token()
    setup.train(version=2)
    before = champion(setup)
    assert (before.version, before.token) == (2, 42)
    setup.kafka.produce(setup.settings.stream, encoded(PLAIN[:300]))
    member = InProcessWorker(setup, "first")
    member.turn_until_live()
    member.turn_until_committed(300)
    member.turn_until(member.snapshotted)
    setup.client.flushall()
    member.feed.refresh()
    assert champion(setup) == before
    assert setup.registry.bundle(before.bundle).digest == before.bundle
    assert setup.registry.threshold(before.threshold).bundle == before.bundle
    keys = Keys(setup.settings.stream)
    assert [int(setup.client.get(key) or 0) for key in (keys.fence(), keys.version())] == [42, 2]

    def stored() -> bool:
        present = all(setup.client.zcard(keys.snapshots(*assigned.source)) for assigned in member.assignment)
        return present and member.snapshotted()

    monkeypatch.setattr("worker.partitions.model_feed.POLL_S", 0.1)
    member.feed.start()  # its thread audits the snapshots
    member.turn_until(stored)  # although no record comes
    member.feed.stop()
    member.abandon()
    setup.kafka.produce(setup.settings.stream, encoded(PLAIN[300:]))
    with in_process(setup, "successor") as successor:
        successor.turn_until_live()
        successor.turn_until_committed(RECORDS)
        assert successor.telemetry.rebuilt == 0
    assert_each_alerted_once(setup)


def test_an_old_backup_does_not_bring_back_an_old_champion_but_an_operator_does(setup: Stream) -> None:
    old = champion(setup)
    backup = {key: setup.client.dump(key) or b"" for key in setup.client.scan_iter()}
    with in_process(setup) as member:
        member.turn_until_live()
        setup.train(version=2, seed=7)
        new = champion(setup)
        member.feed.refresh()
        setup.client.flushall()
        for key, value in backup.items():
            setup.client.restore(key, 0, value)
        assert champion(setup) == old
        member.feed.refresh()
        assert champion(setup) == new
        assert setup.registry.history(setup.settings.spec.spec_hash)[:2] == [new, old]
        member.feed.refresh()
        assert member.feed.latest is not None
        assert member.feed.latest.versions.bundle == new.bundle
        rollback = type(old)(old.bundle, old.threshold, old.version, setup.registry.next_token())
        assert rollback.token > new.token
        assert setup.registry.promote(setup.settings.spec.spec_hash, rollback)
        for _ in range(2):
            member.feed.refresh()
            assert champion(setup) == rollback
            assert member.feed.latest.versions.bundle == old.bundle


def test_a_redis_that_may_evict_state_is_refused_at_start(setup: Stream, tmp_path: Path) -> None:
    setup.client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(
        ConfigError, match=r"maxmemory-policy is 'allkeys-lru'.*noeviction, volatile-\*.*allow_eviction"
    ):
        InProcessWorker(setup, "refused")
    allowed = setup.settings.redis.model_copy(update={"allow_eviction": True})
    setup.settings = setup.settings.model_copy(update={"redis": allowed})
    with in_process(setup) as member:
        member.turn_until_live()
