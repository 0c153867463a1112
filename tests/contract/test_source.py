"""The source and the plain sink, on the real Kafka under both group protocols and on librdkafka's mock cluster.

The scenarios test what only the real Kafka does, such as topic ids and offsets that retention has deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from tests.services.kafka import KafkaCluster, KafkaServer
from worker.adapters.kafka_commits import GroupCommits
from worker.adapters.kafka_producer import RecordLimits
from worker.adapters.kafka_sink import PlainSink
from worker.adapters.kafka_source import KafkaSource
from worker.ports.log import Commit, Committed, LogUnavailable, Output, Polled, TopicPartition


class Cluster(NamedTuple):
    """The cluster's address, and the properties for joining a group."""

    bootstrap: str
    properties: dict[str, str]


CLASSIC: dict[str, str] = {}
CONSUMER = {"group.protocol": "consumer"}  # KIP-848


@pytest.fixture(params=["kafka, classic", "kafka, consumer", "mock"])
def cluster(request: pytest.FixtureRequest, stream: str) -> Cluster:
    """A cluster with a topic of four partitions, named like the stream."""
    if request.param == "mock":
        address: str = request.getfixturevalue("mock_bootstrap")
        Producer({"bootstrap.servers": address}).list_topics(stream, timeout=10)
        return Cluster(address, CLASSIC)
    kafka: KafkaCluster = request.getfixturevalue("kafka")
    kafka.create_topic(stream, 4)
    return Cluster(kafka.bootstrap, CONSUMER if "consumer" in request.param else CLASSIC)


def produce(bootstrap: str, topic: str, values: list[bytes], partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value, b"key", partition)
    assert producer.flush(30) == 0


class Reader:
    def __init__(self, cluster: Cluster, stream: str) -> None:
        self.source = KafkaSource(cluster.bootstrap, f"group-{stream}", [stream], cluster.properties)
        self.held: set[TopicPartition] = set()
        self.polled: list[Polled] = []
        self.until(lambda: len(self.held) == 4)

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not done():
            assert time.monotonic() < deadline
            self.polled.append(self.source.poll(100, 0.2, 0.01))
            for change in self.source.changes():
                assert change.gained
                self.held.add(change.source)

    def offsets(self) -> list[int]:
        return [int(o) for polled in self.polled for records in polled.records for o in records.offsets]


def test_nothing_is_read_before_it_is_started_and_then_from_there_to_the_end(cluster: Cluster, stream: str) -> None:
    produce(cluster.bootstrap, stream, [b"%d" % i for i in range(10)])
    reader = Reader(cluster, stream)
    source = TopicPartition(stream, 0)
    assert reader.offsets() == []
    assert reader.source.bounds(source) == (0, 10)
    reader.source.start(source, 4)
    reader.until(lambda: any(polled.ends.get(source) == 10 for polled in reader.polled))
    assert reader.offsets() == [4, 5, 6, 7, 8, 9]
    records = next(polled.records[0] for polled in reader.polled if polled.records)
    assert records.values[0] == b"4"
    assert records.key(0) == b"key"
    assert records.timestamps[0] > 1_700_000_000_000
    reader.source.start(source, 8)  # seek back
    reader.until(lambda: len(reader.offsets()) == 8)
    assert reader.offsets()[6:] == [8, 9]
    reader.source.hold(source)
    produce(cluster.bootstrap, stream, [b"late"])
    for _ in range(3):
        reader.polled.append(reader.source.poll(100, 0.2, 0.01))
    assert len(reader.offsets()) == 8
    reader.source.close()


def test_commits_carry_their_metadata_and_are_seen_from_outside(cluster: Cluster, stream: str) -> None:
    bootstrap = cluster.bootstrap
    reader = Reader(cluster, stream)
    sources = [TopicPartition(stream, i) for i in range(4)]
    assert reader.source.committed(sources) == dict.fromkeys(sources, Committed(None))
    assert reader.source.membership() is not None
    limits = RecordLimits(bootstrap, {}, [stream])
    sink = PlainSink(bootstrap, {}, limits, reader.source.commit)
    outputs = [Output(sources[0], stream, None, b"out", [("h", b"v")], kind="score")]
    sink.publish(outputs, {sources[1]: Commit(7, "a" * 1_000)}, None)
    assert reader.source.committed(sources)[sources[1]] == Committed(7, "a" * 1_000)
    commits = GroupCommits(bootstrap, f"group-{stream}", [stream], {}).read()
    assert commits == {sources[1]: Committed(7, "a" * 1_000)}
    assert sum(reader.source.bounds(source)[1] for source in sources) == 1
    sink.close()
    reader.source.close()


def test_a_topic_has_an_id_and_its_partitions(cluster: Cluster, stream: str) -> None:
    reader = Reader(cluster, stream)
    assert reader.source.partitions(stream) == 4
    assert reader.source.topic_id(stream)
    reader.source.close()


def test_an_offset_by_time(kafka: KafkaCluster, stream: str) -> None:
    """The mock cluster answers every such question with the end."""
    kafka.create_topic(stream, 4)
    for timestamp in (1_000, 2_000, 3_000):
        kafka.produce(stream, [b"x"], partition=0, timestamp_ms=timestamp)
    reader = Reader(Cluster(kafka.bootstrap, CLASSIC), stream)
    source = TopicPartition(stream, 0)
    assert [reader.source.offset_at(source, ms) for ms in (0, 1_500, 3_000, 3_001)] == [0, 1, 2, 3]
    reader.source.close()


@pytest.mark.parametrize("properties", [CLASSIC, CONSUMER], ids=["classic", "consumer"])
def test_the_position_reaches_the_end_past_markers_and_aborted_records_but_not_past_an_open_transaction(
    kafka: KafkaCluster, stream: str, properties: dict[str, str]
) -> None:
    """So a stalled partition can be distinguished from one that is read to the end as `bounds` defines it."""
    kafka.create_topic(stream, 4)
    reader = Reader(Cluster(kafka.bootstrap, properties), stream)
    source = TopicPartition(stream, 0)
    assert reader.source.position(source) is None
    producer = transaction(kafka.bootstrap, stream)
    producer.produce(stream, b"kept", partition=0)
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce(stream, b"aborted", partition=0)
    producer.flush(30)
    producer.abort_transaction(30)
    reader.source.start(source, 0)
    reader.until(lambda: reader.source.position(source) == 4)
    assert reader.source.bounds(source) == (0, 4)
    assert reader.offsets() == [0]
    producer.begin_transaction()
    producer.produce(stream, b"open", partition=0)
    producer.flush(30)
    assert reader.source.bounds(source, 1.0) == (0, 4)
    reader.source.hold(source)
    reader.until(lambda: reader.source.position(source) is None)
    reader.source.start(source, 3)  # the offset of a transaction's marker
    reader.until(lambda: reader.source.position(source) == 4)
    producer.abort_transaction(30)
    reader.source.close()


def transaction(bootstrap: str, name: str) -> Producer:
    """A producer of its own, with a transaction open."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "transaction.timeout.ms": 60_000})
    producer.init_transactions(30)
    producer.begin_transaction()
    return producer


@pytest.mark.parametrize("properties", [CLASSIC, CONSUMER], ids=["classic", "consumer"])
def test_an_offset_with_a_pending_transaction_does_not_hold_up_the_others(
    kafka: KafkaCluster, stream: str, properties: dict[str, str]
) -> None:
    kafka.create_topic(stream, 4)
    reader = Reader(Cluster(kafka.bootstrap, properties), stream)
    sources = [TopicPartition(stream, i) for i in range(4)]
    producer = transaction(kafka.bootstrap, stream)
    producer.send_offsets_to_transaction(
        [KafkaPartition(stream, i, 5, "m") for i in range(4)], reader.source.membership(), 30
    )
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.send_offsets_to_transaction([KafkaPartition(stream, 2, 9, "n")], reader.source.membership(), 30)
    stable = {source: Committed(5, "m") for source in sources}
    for _ in range(3):
        begun = time.monotonic()
        assert reader.source.committed(sources) == {**stable, sources[2]: None}
        assert time.monotonic() - begun < 10.0
    assert reader.source.committed(sources[2:3]) == {sources[2]: None}
    outside = GroupCommits(kafka.bootstrap, f"group-{stream}", [stream], properties).read()
    assert outside == {source: stable[source] for source in sources if source != sources[2]}
    producer.commit_transaction(30)
    deadline = time.monotonic() + 10
    while (answers := reader.source.committed(sources))[sources[2]] is None:
        assert time.monotonic() < deadline
    assert answers == {**stable, sources[2]: Committed(9, "n")}
    reader.source.close()


def test_a_missing_or_loading_coordinator_is_not_waited_for_nor_mistaken_for_a_pending_transaction(
    own_kafka: KafkaServer, stream: str
) -> None:
    """The coordinator needs some time to load the metadata. Answers must be complete, or LogUnavailable."""
    own_kafka.create_topic(stream, 2)
    sources = [TopicPartition(stream, i) for i in range(2)]
    committing = Consumer({"bootstrap.servers": own_kafka.bootstrap, "group.id": f"group-{stream}"})
    for offset in range(1_000):
        parts = [KafkaPartition(stream, i, offset, "m" * 4_000) for i in range(2)]
        committing.commit(offsets=parts, asynchronous=False)
    source = KafkaSource(own_kafka.bootstrap, f"group-{stream}", [stream], {})
    last = dict.fromkeys(sources, Committed(999, "m" * 4_000))
    assert source.committed(sources) == last
    errors: list[str] = []

    def ask() -> bool:
        begun = time.monotonic()
        try:
            assert source.committed(sources) == last
        except LogUnavailable as error:
            errors.append(str(error))
            return False
        finally:
            assert time.monotonic() - begun < 10.0  # bounded, because the loop waits for it
        return True

    own_kafka.kill9()
    assert not ask()
    assert not ask()
    own_kafka._broker.launch()  # without waiting until it answers
    deadline = time.monotonic() + 60
    while not ask():
        assert time.monotonic() < deadline, errors[-1]
    source.close()
    committing.close()
