"""Redis and Kafka half there: the worker scores on, says what is wrong, and gives back what was lost."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from confluent_kafka import TopicPartition as KafkaPartition

from tests.scenarios.inprocess import InProcessWorker, in_process
from tests.scenarios.stream import (
    Stream,
    WorkerProcess,
    await_committed,
    encoded,
    headers_of,
    make,
    worker,
)
from tests.scenarios.test_faults import PLAIN, RECORDS, TRUTH, once
from tests.services.kafka import KafkaCluster, KafkaServer
from tests.services.process import free_port
from tests.services.redis import RedisServer
from worker.adapters.kafka_transactional_producer import PUBLISH_S
from worker.adapters.redis_keys import Keys
from worker.errors import ConfigError
from worker.health import watchdog
from worker.health.status import Status
from worker.ports.log import TopicPartition

QUICK_METADATA = {"properties": {"topic.metadata.refresh.interval.ms": 300, "metadata.max.age.ms": 3_000}}


@pytest.fixture
def setup(kafka: KafkaCluster, own_redis: RedisServer, stream: str, tmp_path: Path) -> Stream:
    """A stream with a model, on a Redis of its own."""
    new = make(kafka, own_redis.url, tmp_path, stream)
    new.train()
    return new


def champion(setup: Stream) -> Any:
    return setup.registry.champion(setup.settings.spec.spec_hash)


def snapshotted(one: InProcessWorker) -> bool:
    """Whether every partition's commit names a stored snapshot of all that it has."""
    placed = one.placed()
    return len(placed) == len(one.worker.assignment) and all(
        partition.stored is not None
        and partition.committed is not None
        and partition.stored.offset == partition.state.next_offset
        and partition.committed.metadata == partition.metadata.encode()
        and any(base.snapshot == partition.stored.id for base in partition.metadata.bases)
        for partition in placed
    )


def full(client: redis.Redis) -> None:
    client.config_set("maxmemory", "1")


def read_only(client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", free_port())


def cured(client: redis.Redis) -> None:
    client.config_set("maxmemory", "0")
    client.replicaof("NO", "ONE")


@pytest.mark.parametrize("broken", [full, read_only])
def test_a_redis_that_takes_no_writes_is_scored_through(setup: Stream, broken: Any) -> None:
    with in_process(setup) as one:
        one.live()
        one.until(lambda: snapshotted(one))
        broken(setup.client)
        with structlog.testing.capture_logs() as logs:
            setup.kafka.produce(setup.settings.stream, encoded(PLAIN))
            one.committed(RECORDS)
            one.until(lambda: one.telemetry.snapshots_failed >= 3)
        errors = {entry["error"] for entry in logs if entry["event"] == "snapshot_failed"}
        assert any(word in error for error in errors for word in ("OutOfMemory", "ReadOnly"))
        one.feed.refresh()
        assert one.feed.reachable, "the champion can still be read"
        written = one.telemetry.snapshots_written
        cured(setup.client)
        one.until(lambda: one.telemetry.snapshots_written >= written + 2 and snapshotted(one))
    once(setup)


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
    one = InProcessWorker(setup, "first")
    one.live()
    one.committed(300)
    one.until(lambda: snapshotted(one))
    setup.client.flushall()
    one.feed.refresh()
    assert champion(setup) == before
    assert setup.registry.bundle(before.bundle).digest == before.bundle
    assert setup.registry.threshold(before.threshold).bundle == before.bundle
    keys = Keys(setup.settings.stream)
    assert [int(setup.client.get(key) or 0) for key in (keys.fence(), keys.version())] == [42, 2]
    audit = one.collaborators.housekeeping._audit

    def stored() -> bool:  # though not a record comes
        audit.check()
        return all(
            setup.client.zcard(keys.snapshots(*assigned.source)) for assigned in one.worker.assignment
        ) and snapshotted(one)

    one.until(stored)
    one._end()  # it dies, without a drain
    setup.kafka.produce(setup.settings.stream, encoded(PLAIN[300:]))
    with in_process(setup, "successor") as successor:
        successor.live()
        successor.committed(RECORDS)
        assert successor.telemetry.rebuilt == 0
    once(setup)


def test_an_old_backup_does_not_bring_back_an_old_champion_but_an_operator_does(setup: Stream) -> None:
    old = champion(setup)
    backup = {key: setup.client.dump(key) or b"" for key in setup.client.scan_iter()}
    with in_process(setup) as one:
        one.live()
        setup.train(version=2, seed=7)
        new = champion(setup)
        one.feed.refresh()
        setup.client.flushall()
        for key, value in backup.items():
            setup.client.restore(key, 0, value)
        assert champion(setup) == old
        one.feed.refresh()
        assert champion(setup) == new
        assert setup.registry.history(setup.settings.spec.spec_hash)[:2] == [new, old]
        one.feed.refresh()
        assert one.feed.latest is not None
        assert one.feed.latest.versions.bundle == new.bundle
        rollback = type(old)(old.bundle, old.threshold, old.version, setup.registry.next_token())
        assert rollback.token > new.token
        assert setup.registry.promote(setup.settings.spec.spec_hash, rollback)
        for _ in range(2):
            one.feed.refresh()
            assert champion(setup) == rollback
            assert one.feed.latest.versions.bundle == old.bundle


def test_a_redis_that_may_evict_state_is_refused_at_start(setup: Stream, tmp_path: Path) -> None:
    setup.client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(
        ConfigError, match=r"maxmemory-policy is 'allkeys-lru'.*noeviction, volatile-\*.*allow_eviction"
    ):
        InProcessWorker(setup, "refused")
    allowed = setup.settings.redis.model_copy(update={"allow_eviction": True})
    setup.settings = setup.settings.model_copy(update={"redis": allowed})
    with in_process(setup) as one:
        one.live()


# Kafka.


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watchdog that acts after seconds."""
    monkeypatch.setattr(watchdog, "STALL_S", 2.0)
    monkeypatch.setattr(watchdog, "QUERY_AFTER_S", 1.0)


def said(setup: Stream, one: InProcessWorker) -> Status:
    return Status(setup.settings, one.worker.assignment, lambda: one.worker.last_turn, one.feed, one.telemetry)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("freeze", ["pause", "incremental_unassign"])
def test_a_partition_that_froze_in_the_client_is_positioned_anew(setup: Stream, freeze: str) -> None:
    with in_process(setup) as one:
        one.live()
        frozen = KafkaPartition(setup.settings.stream, 1)
        getattr(one.collaborators.source._consumer, freeze)([frozen])  # type: ignore[attr-defined]
        setup.kafka.produce(setup.settings.stream, encoded(PLAIN))
        one.committed(RECORDS // 2)
        assert one.telemetry.repositioned == 0
        one.committed(RECORDS)
        assert one.telemetry.repositioned == 1
        assert said(setup, one).live()[0]
    once(setup)


@pytest.mark.usefixtures("quick")
def test_a_partition_that_stays_frozen_fails_liveness_by_name(setup: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_process(setup) as one:
        one.live()
        source = one.collaborators.source
        frozen, start = TopicPartition(setup.settings.stream, 1), source.start

        def starts_frozen(which: TopicPartition, offset: int) -> None:
            start(which, offset)
            if which == frozen:
                source._consumer.pause([KafkaPartition(*which)])  # type: ignore[attr-defined]

        monkeypatch.setattr(source, "start", starts_frozen)
        starts_frozen(frozen, 0)
        setup.kafka.produce(setup.settings.stream, encoded(PLAIN))
        one.until(lambda: bool(one.telemetry.stalled))
        alive, reason = said(setup, one).live()
        assert not alive
        assert f"{setup.settings.stream}/1 at offset 0" in reason
        monkeypatch.undo()
        source._consumer.resume([KafkaPartition(*frozen)])  # type: ignore[attr-defined]
        one.committed(RECORDS)
        one.until(lambda: said(setup, one).live()[0])
    once(setup)


def test_partitions_that_are_added_start_empty_from_their_beginning(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream, kafka={**QUICK_METADATA, "start": "latest"})
    setup.train()
    with in_process(setup) as one:
        one.live()
        kafka.produce(stream, encoded(PLAIN[:200]))
        one.committed(200)
        kafka.add_partitions(stream, 4)
        kafka.produce(stream, encoded(PLAIN[200:]))
        with structlog.testing.capture_logs() as logs:
            one.live(4)
            one.committed(RECORDS)
        starts = {entry["partition"]: entry["offset"] for entry in logs if entry["event"] == "first_start"}
        assert starts == {2: 0, 3: 0}
    once(setup)


def test_outputs_larger_than_their_topics_take_arrive_smaller(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream)
    setup.train()
    kafka.configure_topic(setup.settings.kafka.alerts, "max.message.bytes", "5000")
    kafka.configure_topic(setup.settings.kafka.dead_letters, "max.message.bytes", "3000")
    padded = [json.dumps({**event, "note": "n" * 20_000}).encode() for event in PLAIN[:300]]
    bad = [b"{" + bytes([97 + i]) * 20_000 for i in range(20)]
    kafka.produce(stream, [*padded, *bad, *encoded(PLAIN[300:])])
    with in_process(setup) as one:
        one.live()
        one.committed(RECORDS + len(bad))
    alerts = setup.alerts()
    assert {alert["record"]["offset"] for alert in alerts if alert["event_omitted"]}
    for alert in alerts:
        offset = alert["record"]["offset"]
        assert alert["event_omitted"] == (offset < 150), "150 padded records in each partition come first"
        assert (alert["event"] is None) == alert["event_omitted"]
        assert alert["features"]
    flagged = {(alert["record"]["partition"], alert["record"]["offset"]) for alert in alerts}
    assert len(flagged) == len(alerts)
    places = [(i % 2, i // 2) for i in [*range(300), *range(320, RECORDS + 20)]]
    assert flagged >= {place for place, event in zip(places, PLAIN, strict=True) if event["id"] in TRUTH}
    letters = [(message.value() or b"", headers_of(message)) for message in kafka.read_committed(
        setup.settings.kafka.dead_letters)]  # fmt: skip
    originals = {hashlib.sha256(value).hexdigest(): value for value in bad}
    assert {headers["offbeat-sha256"] for _, headers in letters} == set(originals)
    assert len(letters) == len(bad)
    for value, headers in letters:
        assert headers["offbeat-truncated"] == "true"
        assert headers["offbeat-size"] == "20001"
        assert originals[headers["offbeat-sha256"]].startswith(value)
        assert len(value) > 1_000


def test_a_kafka_that_is_away_for_longer_than_a_transaction_lasts_is_waited_for(
    own_kafka: KafkaServer, redis_url: str, stream: str, tmp_path: Path
) -> None:
    """It goes while a transaction is open. Live all the while, not ready; the worker is the same process afterwards."""
    setup = make(own_kafka, redis_url, tmp_path, stream)
    setup.train()
    with worker(setup, "pod-0", tmp_path, dies=("produced SIGSTOP", 1)) as process:
        process.wait_for("first_start", 2)
        own_kafka.produce(stream, encoded(PLAIN[:300]))
        while not frozen(process):
            time.sleep(0.05)
        own_kafka.stop()
        process.signal(signal.SIGCONT)
        port = process.wait_for("listening")[0]["port"]
        ready, until = [], time.monotonic() + PUBLISH_S + 8.0  # when a call stays, so long
        while time.monotonic() < until:
            assert probe(port, "livez") == 200
            ready.append(probe(port, "readyz"))
            time.sleep(0.2)
        assert ready[-1] == 503
        own_kafka.start()
        own_kafka.produce(stream, encoded(PLAIN[300:]))
        await_committed(setup, RECORDS, process)
        while probe(port, "readyz") != 200:
            time.sleep(0.2)
        assert process.events("producer_replaced")
        assert process.stop() == 0
    once(setup)


@pytest.mark.usefixtures("quick")
def test_an_idle_worker_notices_that_kafka_is_away(
    own_kafka: KafkaServer, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = make(own_kafka, redis_url, tmp_path, stream)
    setup.train()
    with in_process(setup) as one:
        one.live()
        one.until(lambda: snapshotted(one))
        status = said(setup, one)
        assert status.ready()[0]
        own_kafka.stop()
        one.until(lambda: not status.ready()[0])
        assert "Kafka does not answer" in status.ready()[1]
        assert status.live()[0]
        assert one.telemetry.repositioned == 0
        own_kafka.start()
        one.until(lambda: status.ready()[0])


def frozen(process: WorkerProcess) -> bool:
    return "\nState:\tT" in Path(f"/proc/{process.process.pid}/status").read_text()


def probe(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", f"/{path}")
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("recreated", ["later", "at once"])
def test_a_topic_deleted_while_it_is_read_is_let_go_and_read_anew_when_it_is_back(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recreated: str
) -> None:
    monkeypatch.setattr("worker.health.housekeeping.TOPIC_CHECK_S", 1.0)
    setup = make(kafka, redis_url, tmp_path, stream, partitions=1, kafka=QUICK_METADATA)
    setup.train()
    kafka.produce(stream, encoded(PLAIN[:100]))
    with in_process(setup) as one:
        one.live(1)
        one.committed(100)
        [topic_id] = [placed.topic_id for placed in one.placed()]
        kafka.delete_topic(stream)
        if recreated == "later":
            one.until(lambda: len(one.worker.assignment) == 0)
            assert said(setup, one).live()[0]
            assert said(setup, one).ready() == (False, "no partition assigned")
        kafka.create_topic(stream, 1)
        kafka.produce(stream, encoded(PLAIN))

        def anew() -> bool:
            return any(
                placed.topic_id != topic_id and placed.committed is not None and placed.committed.offset >= RECORDS
                for placed in one.placed()
            )

        one.until(anew)
    ids = [alert["alert_id"] for alert in setup.alerts()]
    assert len(ids) == len(set(ids))
    assert {alert["event"]["id"] for alert in setup.alerts()} >= TRUTH


def test_a_compacted_input_topic_is_warned_of(kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path) -> None:
    for topic, policy in ((stream, "compact,delete"), (f"{stream}-plain", "delete")):
        kafka.create_topic(topic, 1, {"cleanup.policy": policy})
    setup = make(kafka, redis_url, tmp_path, stream, kafka={"events": [stream, f"{stream}-plain"]})
    with structlog.testing.capture_logs() as logs, in_process(setup):
        pass
    assert [entry["topic"] for entry in logs if entry["event"] == "compacted_topic"] == [stream]
