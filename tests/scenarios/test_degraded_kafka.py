"""Kafka and its client misbehave in ways that they do not report: the worker notices, says so, and recovers."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from pathlib import Path

import pytest
import structlog
from confluent_kafka import TopicPartition as KafkaPartition

from tests.scenarios.anomalies import PLAIN, RECORDS, TRUTH, assert_each_alerted_once
from tests.scenarios.inprocess import in_process
from tests.scenarios.processes import WorkerProcess, await_committed, worker
from tests.scenarios.stream import Stream, encoded, headers_of, make
from tests.services.kafka import KafkaCluster, KafkaServer
from worker.adapters.kafka_transactional_producer import PUBLISH_S
from worker.health import watchdog
from worker.ports.log import TopicPartition

QUICK_METADATA = {"properties": {"topic.metadata.refresh.interval.ms": 300, "metadata.max.age.ms": 3_000}}


@pytest.fixture
def setup(kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path) -> Stream:
    """A stream with a model."""
    setup = make(kafka, redis_url, tmp_path, stream)
    setup.train()
    return setup


@pytest.fixture
def quick_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the watchdog act within seconds."""
    monkeypatch.setattr(watchdog, "STALL_S", 2.0)
    monkeypatch.setattr(watchdog, "QUERY_AFTER_S", 1.0)


@pytest.mark.usefixtures("quick_watchdog")
@pytest.mark.parametrize("freeze", ["pause", "incremental_unassign"])
def test_a_partition_that_froze_in_the_client_is_positioned_anew(setup: Stream, freeze: str) -> None:
    with in_process(setup) as member:
        member.turn_until_live()
        frozen = KafkaPartition(setup.settings.stream, 1)
        getattr(member.consumer, freeze)([frozen])
        setup.kafka.produce(setup.settings.stream, encoded(PLAIN))
        member.turn_until_committed(RECORDS // 2)
        assert member.telemetry.repositioned == 0
        member.turn_until_committed(RECORDS)
        assert member.telemetry.repositioned == 1
        assert member.status.live()[0]
    assert_each_alerted_once(setup)


@pytest.mark.usefixtures("quick_watchdog")
def test_a_partition_that_stays_frozen_fails_liveness_by_name(setup: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_process(setup) as member:
        member.turn_until_live()
        source = member.collaborators.source
        frozen, start = TopicPartition(setup.settings.stream, 1), source.start

        def starts_frozen(which: TopicPartition, offset: int) -> None:
            start(which, offset)
            if which == frozen:
                member.consumer.pause([KafkaPartition(*which)])

        monkeypatch.setattr(source, "start", starts_frozen)
        starts_frozen(frozen, 0)
        setup.kafka.produce(setup.settings.stream, encoded(PLAIN))
        member.turn_until(lambda: bool(member.telemetry.stalled))
        alive, reason = member.status.live()
        assert not alive
        assert f"{setup.settings.stream}/1 at offset 0" in reason
        monkeypatch.undo()
        member.consumer.resume([KafkaPartition(*frozen)])
        member.turn_until_committed(RECORDS)
        member.turn_until(lambda: member.status.live()[0])
    assert_each_alerted_once(setup)


def test_partitions_that_are_added_start_empty_from_their_beginning(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream, kafka={**QUICK_METADATA, "start": "latest"})
    setup.train()
    with in_process(setup) as member:
        member.turn_until_live()
        kafka.produce(stream, encoded(PLAIN[:200]))
        member.turn_until_committed(200)
        kafka.add_partitions(stream, 4)
        kafka.produce(stream, encoded(PLAIN[200:]))
        with structlog.testing.capture_logs() as logs:
            member.turn_until_live(4)
            member.turn_until_committed(RECORDS)
        starts = {entry["partition"]: entry["offset"] for entry in logs if entry["event"] == "first_start"}
        assert starts == {2: 0, 3: 0}
    assert_each_alerted_once(setup)


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
    with in_process(setup) as member:
        member.turn_until_live()
        member.turn_until_committed(RECORDS + len(bad))
    alerts = setup.alerts()
    assert {alert["record"]["offset"] for alert in alerts if alert["event_omitted"]}
    for alert in alerts:
        offset = alert["record"]["offset"]
        assert alert["event_omitted"] == (offset < 150), "150 padded records in each partition come first"
        assert (alert["event"] is None) == alert["event_omitted"]
        assert alert["features"]
    flagged = {(alert["record"]["partition"], alert["record"]["offset"]) for alert in alerts}
    assert len(flagged) == len(alerts)
    places = [(i % 2, i // 2) for i in [*range(300), *range(320, RECORDS + 20)]]  # partition and offset
    assert flagged >= {place for place, event in zip(places, PLAIN, strict=True) if event["id"] in TRUTH}
    messages = kafka.read_committed(setup.settings.kafka.dead_letters)
    letters = [(message.value() or b"", headers_of(message)) for message in messages]
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
    """Kafka goes away while a transaction is open. The worker stays live, is not ready, and goes on as one process."""
    setup = make(own_kafka, redis_url, tmp_path, stream)
    setup.train()
    with worker(setup, "pod-0", tmp_path, dies=("produced SIGSTOP", 1)) as process:
        process.wait_for("first_start", 2)
        own_kafka.produce(stream, encoded(PLAIN[:300]))
        while not frozen(process):
            time.sleep(0.05)
        own_kafka.stop()
        process.signal(signal.SIGCONT)
        ready, until = [], time.monotonic() + PUBLISH_S + 8.0  # as long as a call to Kafka may hang
        while time.monotonic() < until:
            assert process.probe("livez") == 200
            ready.append(process.probe("readyz"))
            time.sleep(0.2)
        assert ready[-1] == 503
        own_kafka.start()
        own_kafka.produce(stream, encoded(PLAIN[300:]))
        await_committed(setup, RECORDS, process)
        while process.probe("readyz") != 200:
            time.sleep(0.2)
        assert process.events("producer_replaced")
        assert process.stop() == 0
    assert_each_alerted_once(setup)


@pytest.mark.usefixtures("quick_watchdog")
def test_an_idle_worker_notices_that_kafka_is_away(
    own_kafka: KafkaServer, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = make(own_kafka, redis_url, tmp_path, stream)
    setup.train()
    with in_process(setup) as member:
        member.turn_until_live()
        member.turn_until(member.snapshotted)
        status = member.status
        assert status.ready()[0]
        own_kafka.stop()
        member.turn_until(lambda: not status.ready()[0])
        assert "Kafka does not answer" in status.ready()[1]
        assert status.live()[0]
        assert member.telemetry.repositioned == 0
        own_kafka.start()
        member.turn_until(lambda: status.ready()[0])


def frozen(process: WorkerProcess) -> bool:
    return "\nState:\tT" in Path(f"/proc/{process.process.pid}/status").read_text()


@pytest.mark.parametrize("recreated", ["later", "at once"])
def test_a_topic_deleted_while_it_is_read_is_let_go_and_read_anew_when_it_is_back(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recreated: str
) -> None:
    monkeypatch.setattr("worker.health.housekeeping.TOPIC_CHECK_S", 1.0)
    setup = make(kafka, redis_url, tmp_path, stream, partitions=1, kafka=QUICK_METADATA)
    setup.train()
    kafka.produce(stream, encoded(PLAIN[:100]))
    with in_process(setup) as member:
        member.turn_until_live(1)
        member.turn_until_committed(100)
        [topic_id] = [placed.topic_id for placed in member.placed()]
        kafka.delete_topic(stream)
        if recreated == "later":
            member.turn_until(lambda: len(member.assignment) == 0)
            assert member.status.live()[0]
            assert member.status.ready() == (False, "no partition assigned")
        kafka.create_topic(stream, 1)
        kafka.produce(stream, encoded(PLAIN))

        def read_anew() -> bool:
            return any(
                placed.topic_id != topic_id and placed.committed is not None and placed.committed.offset >= RECORDS
                for placed in member.placed()
            )

        member.turn_until(read_anew)
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
