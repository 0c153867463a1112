"""`offbeat train`: the first model from a topic's history, on a real Kafka and a real Redis."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

import training.history.history
import worker.adapters.kafka_range_reader
from tests.scenarios.stream import encoded, events
from tests.services.kafka import KafkaCluster
from tests.training.history.case import START_MS, Case, few
from training.history.history import History, read_history
from worker.adapters.kafka_range_reader import RangeReader
from worker.core.events.decode import Limits, decoder_for
from worker.errors import ConfigError, DependencyUnreachable


def produce(
    cluster: KafkaCluster, topic: str, partition: int, rows: Sequence[dict[str, Any]], from_ms: int, step_ms: int = 1
) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap})
    for i, value in enumerate(encoded(rows)):
        producer.produce(topic, value, f"k{partition}".encode(), partition, timestamp=from_ms + i * step_ms)
    assert producer.flush(60) == 0


def history(case: Case, rows: int | None = None, since_ms: int | None = None) -> History:
    decoder = decoder_for("json", case.settings.spec, Limits())
    return read_history(case.settings, decoder, rows, since_ms, lambda done, total: None)


def test_a_topics_history_gives_a_champion_and_other_records_are_counted(topic: Case, kafka: KafkaCluster) -> None:
    for partition in range(3):
        produce(kafka, topic.stream, partition, events(400, every=500, seed=partition), START_MS)
    kafka.produce(topic.stream, [b"{", b'{"bytes": "many", "duration": true}', None, None, None], partition=1)
    summary = topic.train()
    assert (summary.rows_read, summary.rejected, summary.tombstones) == (1_205, 2, 3)
    assert summary.rows_fitted + summary.rows_calibrated == 1_200
    assert summary.reasons["bytes: text where a number is expected"] == 1
    assert summary.reasons["duration: true or false where a number is expected"] == 1
    model = topic.serving()
    assert model is not None
    assert model.version == summary.serves == 1
    ranges = topic.registry.bundle(model.versions.bundle).manifest.data
    assert ranges == {f"{topic.stream}/0": (0, 399), f"{topic.stream}/1": (0, 404), f"{topic.stream}/2": (0, 399)}


def test_no_group_is_joined_and_nothing_committed(topic: Case, kafka: KafkaCluster) -> None:
    kafka.produce(topic.stream, encoded(few()))
    topic.train()
    listed = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_consumer_groups().result()
    assert topic.settings.kafka.group not in {group.group_id for group in listed.valid}


def test_partitions_are_merged_in_event_time_order(topic: Case, kafka: KafkaCluster) -> None:
    features = [{"field": "n", "kind": "numeric"}, {"field": "ts", "kind": "cyclic", "period": "day"}]
    topic.configure(event={"time": "ts"}, features=features)
    # Event n happens at second n, and each partition has every third event. In each partition two events are in the
    # wrong order. Event 151 has no time, so its record's timestamp counts.
    for partition in range(3):
        numbers = list(range(partition, 300, 3))
        numbers[5], numbers[6] = numbers[6], numbers[5]
        rows = [{"n": n} if n == 151 else {"n": n, "ts": START_MS / 1000 + n} for n in numbers]
        produce(kafka, topic.stream, partition, rows, START_MS + 1_000 * partition, step_ms=3_000)
    events_read = history(topic)
    assert events_read.columns.values[0].tolist() == list(range(300))


def test_events_get_the_lookback_columns_that_the_worker_computes(topic: Case, kafka: KafkaCluster) -> None:
    """The columns of a rate are per partition and entity. Here the record's key is the entity."""
    topic.configure(event={"time": "ts"}, features=[{"field": "n", "kind": "rate", "half_life": "1h"}])
    for partition in range(3):
        rows = [{"n": 10 * partition + i % 2, "ts": START_MS / 1000 + i} for i in range(100)]
        produce(kafka, topic.stream, partition, rows, START_MS, step_ms=1_000)
    columns, names = history(topic).columns, topic.settings.spec.names
    means = columns.values[names.index("n:mean:3600s")]
    assert np.isnan(means[:3]).all()
    # The last event of each partition, whose entity is the partition's key: half of its records are odd.
    assert sorted(np.round(means[-3:], 2)) == pytest.approx([0.5, 10.5, 20.5], abs=0.02)
    assert columns.values[names.index("n:gap:3600s")][-1] == 1.0


def test_the_newest_rows_are_spread_over_the_partitions(topic: Case, kafka: KafkaCluster) -> None:
    for partition, count in enumerate((400, 10, 300)):
        produce(kafka, topic.stream, partition, few(count), START_MS)
    events_read = history(topic, rows=210)
    name = topic.stream
    assert events_read.ranges == {f"{name}/0": [300, 399], f"{name}/1": [0, 9], f"{name}/2": [200, 299]}
    assert (events_read.read, len(events_read.columns)) == (210, 210)
    assert history(topic, rows=1_000).read == 710
    assert history(topic).read == 710


def test_since_bounds_by_the_records_timestamp(topic: Case, kafka: KafkaCluster) -> None:
    for partition in (0, 1):
        produce(kafka, topic.stream, partition, few(400), START_MS + partition * 100)
    events_read = history(topic, since_ms=START_MS + 300)
    assert events_read.ranges == {f"{topic.stream}/0": [300, 399], f"{topic.stream}/1": [200, 399]}
    both = history(topic, rows=100, since_ms=START_MS + 300)
    assert both.ranges == {f"{topic.stream}/0": [350, 399], f"{topic.stream}/1": [350, 399]}
    with pytest.raises(ConfigError, match="has no records since the time of --since"):
        history(topic, since_ms=START_MS + 10_000)


@pytest.mark.parametrize("batch_s", [0.05, 1.5])
def test_only_committed_records_are_read_up_to_a_transactions_end(
    topic: Case, kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch, batch_s: float
) -> None:
    """The last offset is a marker, and an open transaction follows.

    The end is reported after the records or together with them, depending on `batch_s`.
    """
    monkeypatch.setattr(worker.adapters.kafka_range_reader, "BATCH_S", batch_s)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic.stream})
    producer.init_transactions(30)
    for commits in (True, False, True, None):
        producer.begin_transaction()
        for value in encoded(few(50)):
            producer.produce(topic.stream, value, partition=0)
        producer.flush(30)
        if commits is not None:
            (producer.commit_transaction if commits else producer.abort_transaction)(30)
    began = time.monotonic()
    events_read = history(topic)
    assert time.monotonic() - began < 10
    assert (events_read.read, events_read.ranges) == (100, {f"{topic.stream}/0": [0, 151]})
    producer.abort_transaction(30)


def test_records_deleted_meanwhile_are_skipped_and_new_ones_are_not_read(
    topic: Case, kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.produce(topic.stream, encoded(few(400)), partition=0)
    ranges = RangeReader.ranges

    def change_topic(*arguments: Any) -> Any:
        offsets = ranges(*arguments)
        kafka.delete_records(topic.stream, 0, 150)
        kafka.produce(topic.stream, encoded(few(50)), partition=0)
        return offsets

    monkeypatch.setattr(RangeReader, "ranges", change_topic)
    events_read = history(topic)
    assert (events_read.read, events_read.ranges) == (250, {f"{topic.stream}/0": [150, 399]})


def test_a_pattern_reads_every_topic_that_it_matches(topic: Case, kafka: KafkaCluster) -> None:
    kafka.create_topic(f"{topic.stream}-b", 1)
    kafka.produce(topic.stream, encoded(few(10)))
    kafka.produce(f"{topic.stream}-b", encoded(few(20)))
    kafka_section = {"bootstrap_servers": kafka.bootstrap, "alerts": "out"}
    topic.configure(kafka={**kafka_section, "events": f"^{topic.stream}(-b)?$"})
    assert history(topic).read == 30


def test_a_topic_that_is_missing_or_empty_or_has_no_event_is_a_clear_error(topic: Case, kafka: KafkaCluster) -> None:
    assert topic.refusal() == f"kafka.events: topic {topic.stream!r} has no records; use --from to train on a file"
    kafka.produce(topic.stream, [None, None])
    assert topic.refusal() == "kafka.events: none of the 2 records is an event: all are tombstones"
    kafka.produce(topic.stream, [b'{"bytes": "many"}'] * 5)
    text = topic.refusal()
    assert text == "kafka.events: none of the 7 records is an event: bytes: text where a number is expected (5)"
    kafka.produce(topic.stream, encoded(few(20)))
    assert "only 20 events" in topic.refusal()
    section = {"bootstrap_servers": kafka.bootstrap}
    topic.configure(kafka={**section, "events": [topic.stream, "nowhere"]})
    assert topic.refusal() == "kafka.events: there is no topic 'nowhere'"
    kafka.create_topic(f"{topic.stream}-quiet", 1)
    topic.configure(kafka={**section, "events": [topic.stream, f"{topic.stream}-quiet"]})
    assert f"topic '{topic.stream}-quiet' has no records" in topic.refusal()


def test_a_kafka_or_redis_that_does_not_answer_is_exit_code_3(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.history.history, "ANSWER_S", 0.5)
    with pytest.raises(DependencyUnreachable, match=r"kafka\.bootstrap_servers: no broker answered at 127\.0\.0\.1:1"):
        case.train()
    case.configure(redis={"url": "redis://:secret-word@127.0.0.1:1/0"})
    with pytest.raises(DependencyUnreachable, match=r"redis\.url") as caught:
        case.train(file=case.file(few()))
    assert caught.value.exit_code == 3
    assert "secret-word" not in str(caught.value)
