"""The range reader on the real Kafka: what it reads, what it leaves alone, and how it fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient
from hypothesis import given
from hypothesis import strategies as st

import worker.adapters.kafka_range_reader as range_reader
from tests.services.kafka import KafkaCluster
from tests.services.process import free_port
from worker.adapters.kafka_admin import Topics
from worker.adapters.kafka_embedded import embedded_broker
from worker.adapters.kafka_plain_producer import PlainProducer
from worker.adapters.kafka_range_reader import (
    Connection,
    OffsetRange,
    RangeReader,
    ReadStalled,
    earliest,
    newest,
    share_rows,
)
from worker.errors import ConfigError, DependencyUnreachable, OffbeatError
from worker.ports.log import Records, TopicPartition


def values(count: int, start: int = 0) -> list[bytes | None]:
    return [b"%d" % i for i in range(start, start + count)]


def reader(kafka: KafkaCluster, stall_s: float = 30.0) -> RangeReader:
    return RangeReader(Connection(kafka.bootstrap), "a test", stall_s=stall_s)


def offsets(batches: Sequence[Records]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for records in batches:
        found.setdefault(records.source.partition, []).extend(map(int, records.offsets))
    return found


def partitions(topic: str, count: int) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for partition in range(count)]


@given(st.dictionaries(st.integers(0, 50), st.integers(0, 1_000), min_size=1), st.integers(1, 5_000))
def test_shares_use_up_the_rows_as_evenly_as_the_counts_allow(counts: dict[int, int], rows: int) -> None:
    shares = share_rows(counts, rows)
    assert sum(shares.values()) == min(rows, sum(counts.values()))
    assert all(shares[key] <= counts[key] for key in counts)
    cut = [shares[key] for key in counts if shares[key] < counts[key]]
    # A key that was cut has as much as any other, save for the one that a division leaves over.
    assert not cut or max(shares.values()) - min(cut) <= 1


def test_records_are_plain_values_and_come_in_offset_order(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 3)
    kafka.produce(stream, values(20), partition=0, key=b"zero", timestamp_ms=5_000)
    kafka.produce(stream, [b"a", None], partition=2, timestamp_ms=6_000)
    seen: list[tuple[int, int]] = []
    with reader(kafka) as read:
        assert read.topics()[stream] == 3
        ranges = read.ranges(partitions(stream, 3))
        assert [(r.start, r.stop) for r in ranges] == [(0, 20), (0, 0), (0, 2)]
        batches = list(read.read(ranges, lambda done, total: seen.append((done, total))))
    assert offsets(batches) == {0: list(range(20)), 2: [0, 1]}
    first = next(records for records in batches if records.source.partition == 0)
    assert (first.source, first.values[3], first.key(3)) == (TopicPartition(stream, 0), b"3", b"zero")
    assert np.unique(first.timestamps).tolist() == [5_000]
    last = next(records for records in batches if records.source.partition == 2)
    assert (list(last.values), last.key(0)) == ([b"a", None], None)
    assert seen[-1] == (22, 22)
    assert seen == sorted(seen)


def test_newest_and_earliest_offsets_are_spread_over_the_partitions(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 2)
    kafka.produce(stream, values(500), partition=0)
    kafka.produce(stream, values(20), partition=1)
    with reader(kafka) as read:
        ranges = read.ranges(partitions(stream, 2))
        found = offsets(list(read.read(newest(ranges, 100))))
        assert found == {0: list(range(420, 500)), 1: list(range(20))}
        found = offsets(list(read.read(earliest(ranges, 30))))
        assert found == {0: list(range(15)), 1: list(range(15))}
        assert offsets(list(read.read(newest(ranges, 10_000)))) == {0: list(range(500)), 1: list(range(20))}
        assert list(read.read([])) == []


def test_a_time_bounds_by_the_records_timestamps(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 1)
    for i in range(10):
        kafka.produce(stream, values(1), timestamp_ms=1_000 + i)
    with reader(kafka) as read:
        assert read.ranges(partitions(stream, 1), since_ms=1_004) == [OffsetRange(TopicPartition(stream, 0), 4, 10)]
        assert read.ranges(partitions(stream, 1), since_ms=2_000) == [OffsetRange(TopicPartition(stream, 0), 10, 10)]


@pytest.mark.parametrize("batch_s", [0.05, 1.5])
def test_only_committed_records_are_read_up_to_a_transactions_end(
    kafka: KafkaCluster, stream: str, monkeypatch: pytest.MonkeyPatch, batch_s: float
) -> None:
    """The last offset of the range is a transaction's marker, followed by an open transaction."""
    monkeypatch.setattr(range_reader, "BATCH_S", batch_s)
    kafka.create_topic(stream, 1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": stream})
    producer.init_transactions(30)
    for commits in (True, False, True, None):
        producer.begin_transaction()
        for value in values(50):
            producer.produce(stream, value, partition=0)
        producer.flush(30)
        if commits is not None:
            (producer.commit_transaction if commits else producer.abort_transaction)(30)
    began = time.monotonic()
    with reader(kafka) as read:
        found = offsets(list(read.read(read.ranges(partitions(stream, 1)))))
    assert time.monotonic() - began < 10
    assert found == {0: [*range(50), *range(102, 152)]}
    producer.abort_transaction(30)


def test_deleted_records_are_skipped_and_later_ones_are_not_read(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 1)
    kafka.produce(stream, values(400), partition=0)
    with reader(kafka) as read:
        ranges = read.ranges(partitions(stream, 1))
        kafka.delete_records(stream, 0, 150)
        kafka.produce(stream, values(50), partition=0)
        assert offsets(list(read.read(ranges))) == {0: list(range(150, 400))}


def test_nothing_is_left_in_the_cluster(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 1)
    kafka.produce(stream, values(10))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def state() -> tuple[set[str], set[str]]:
        groups = admin.list_consumer_groups(request_timeout=10).result().valid
        return {group.group_id for group in groups}, set(admin.list_topics(timeout=10).topics)

    before = state()
    assert stream in before[1]
    with reader(kafka) as read:
        assert f"{stream}-nowhere" not in read.topics(wanted=[f"{stream}-nowhere"])
        list(read.read(read.ranges(partitions(stream, 1))))
    assert state() == before


def test_a_reader_that_gets_nothing_more_says_what_it_waits_for(kafka: KafkaCluster, stream: str) -> None:
    kafka.create_topic(stream, 1)
    kafka.produce(stream, values(10))
    found: list[Records] = []
    with reader(kafka, stall_s=1.0) as read:
        batches = read.read([OffsetRange(TopicPartition(stream, 0), 0, 11)])
        with pytest.raises(ReadStalled, match=rf"kafka\.bootstrap_servers: no records of {stream}/0 arrived for 1 s"):
            found.extend(batches)
    assert offsets(found) == {0: list(range(10))}


def test_the_error_that_was_waited_out_in_vain_is_named(
    kafka: KafkaCluster, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Consumer):
        def consume(self, *_: Any) -> list[Any]:
            error = KafkaError(KafkaError._UNKNOWN_PARTITION, "planted")
            return [SimpleNamespace(error=lambda: error, topic=lambda: stream, partition=lambda: 0)]

    kafka.create_topic(stream, 1)
    monkeypatch.setattr(range_reader, "Consumer", Failing)
    with reader(kafka, stall_s=0.2) as read, pytest.raises(ReadStalled, match=rf"; {stream}/0: planted$"):
        list(read.read([OffsetRange(TopicPartition(stream, 0), 0, 1)]))


def test_a_connection_does_not_show_its_secrets() -> None:
    assert "hush" not in repr(Connection("broker:9092", {"sasl.password": "hush"}))


def test_a_broker_that_does_not_answer_is_named_with_the_users_option() -> None:
    connection = Connection(f"127.0.0.1:{free_port()}", {}, "--bootstrap-servers", "-X")
    with RangeReader(connection, "a test", answer_s=1.0, quiet=True) as read:
        expected = f"--bootstrap-servers: no answer from {connection.bootstrap} within 1 s"
        with pytest.raises(DependencyUnreachable, match=expected):
            read.topics()
        with pytest.raises(DependencyUnreachable, match=expected):
            read.ranges(partitions("t", 1))


def test_a_property_that_librdkafka_refuses_is_named_without_its_secret() -> None:
    # The one refusal in which librdkafka quotes the value of a property whose name tells of a secret.
    properties = {"security.protocol": "SSL", "ssl.keystore.location": "/hunter2", "ssl.keystore.password": "x"}
    with pytest.raises(ConfigError, match=r"^-X: ") as caught:
        RangeReader(Connection("127.0.0.1:1", properties, properties_option="-X"), "a test", quiet=True)
    assert "ssl.keystore.location: ***" in str(caught.value)
    with pytest.raises(ConfigError, match=r"kafka\.properties: .*nonsense"):
        RangeReader(Connection("127.0.0.1:1", {"nonsense": "x"}), "a test")


def test_topics_are_created_and_deleted(kafka: KafkaCluster, stream: str) -> None:
    topics = Topics(kafka.bootstrap, {})
    topics.create([stream, f"{stream}.alerts"], 2)
    with pytest.raises(OffbeatError, match=f"topic '{stream}' could not be created: .*already exists"):
        topics.create([stream], 2)
    deadline = time.monotonic() + 10
    while topics.all_topics().get(stream) != 2:
        assert time.monotonic() < deadline
    topics.delete([stream, f"{stream}.alerts", f"{stream}.nowhere"])
    while stream in topics.all_topics():
        assert time.monotonic() < deadline


def test_partitions_of_several_topics_are_followed_as_records_arrive(stream: str) -> None:
    """On the embedded broker, as in the demo."""
    topics = [stream, f"{stream}.alerts"]
    with embedded_broker(topics) as bootstrap, RangeReader(Connection(bootstrap), "a test", quiet=True) as read:
        assert {topic: read.topics()[topic] for topic in topics} == dict.fromkeys(topics, 4)
        read.follow({source: 0 for topic in topics for source in partitions(topic, 4)})
        assert read.poll(100, 0.1) == []
        producer = PlainProducer(bootstrap, {"linger.ms": 5})
        for i in range(10):
            producer.produce(topics[i % 2], b"%d" % i, i % 4)
        assert producer.flush(10.0) == 0
        found: list[tuple[TopicPartition, bytes | None]] = []
        deadline = time.monotonic() + 10
        while len(found) < 10:
            assert time.monotonic() < deadline
            for records in read.poll(100, 0.2):
                found += [(records.source, value) for value in records.values]
    assert sorted(found) == sorted((TopicPartition(topics[i % 2], i % 4), b"%d" % i) for i in range(10))
