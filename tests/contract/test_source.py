"""The source and the plain sink, on the real Kafka and on librdkafka's mock cluster.

What only the real one does (transactions, topic ids, offsets off the log) is in the scenarios.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from tests.services.kafka import KafkaCluster
from worker.adapters.kafka_commits import GroupCommits
from worker.adapters.kafka_sink import KafkaLimits, PlainSink
from worker.adapters.kafka_source import KafkaSource
from worker.streams import Commit, Committed, Output, Polled, TopicPartition


@pytest.fixture(params=["kafka", "mock"])
def bootstrap(request: pytest.FixtureRequest, stream: str) -> str:
    """A cluster with a topic named like the stream, of four partitions."""
    if request.param == "mock":
        address: str = request.getfixturevalue("mock_bootstrap")
        Producer({"bootstrap.servers": address}).list_topics(stream, timeout=10)
        return address
    cluster: KafkaCluster = request.getfixturevalue("kafka")
    cluster.create_topic(stream, 4)
    return cluster.bootstrap


def produce(bootstrap: str, topic: str, values: list[bytes], partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value, b"key", partition)
    assert producer.flush(30) == 0


class Reader:
    def __init__(self, bootstrap: str, stream: str) -> None:
        self.source = KafkaSource(bootstrap, f"group-{stream}", [stream], {})
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


def test_nothing_is_read_before_it_is_started_and_then_from_there_to_the_end(bootstrap: str, stream: str) -> None:
    produce(bootstrap, stream, [b"%d" % i for i in range(10)])
    reader = Reader(bootstrap, stream)
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
    reader.source.start(source, 8)  # back again
    reader.until(lambda: len(reader.offsets()) == 8)
    assert reader.offsets()[6:] == [8, 9]
    reader.source.hold(source)
    produce(bootstrap, stream, [b"late"])
    for _ in range(3):
        reader.polled.append(reader.source.poll(100, 0.2, 0.01))
    assert len(reader.offsets()) == 8
    reader.source.close()


def test_commits_carry_their_metadata_and_are_seen_from_outside(bootstrap: str, stream: str) -> None:
    reader = Reader(bootstrap, stream)
    sources = [TopicPartition(stream, i) for i in range(4)]
    assert reader.source.committed(sources) == dict.fromkeys(sources, Committed(None))
    assert reader.source.membership() is not None
    limits = KafkaLimits(bootstrap, f"group-{stream}", {}, [stream])
    sink = PlainSink(bootstrap, {}, limits, reader.source.commit)
    outputs = [Output(sources[0], stream, None, b"out", [("h", b"v")])]
    sink.publish(outputs, {sources[1]: Commit(7, "a" * 1_000)}, None)
    assert reader.source.committed(sources)[sources[1]] == Committed(7, "a" * 1_000)
    commits = GroupCommits(bootstrap, f"group-{stream}", [stream], {}).read()
    assert commits == {sources[1]: Committed(7, "a" * 1_000)}
    assert sum(reader.source.bounds(source)[1] for source in sources) == 1
    sink.close()
    reader.source.close()


def test_a_topic_has_an_id_and_its_partitions(bootstrap: str, stream: str) -> None:
    reader = Reader(bootstrap, stream)
    assert reader.source.partitions(stream) == 4
    assert reader.source.topic_id(stream)
    reader.source.close()


def test_an_offset_by_time(kafka: KafkaCluster, stream: str) -> None:
    """The mock cluster answers every such question with the end."""
    kafka.create_topic(stream, 4)
    for timestamp in (1_000, 2_000, 3_000):
        kafka.produce(stream, [b"x"], partition=0, timestamp_ms=timestamp)
    reader = Reader(kafka.bootstrap, stream)
    source = TopicPartition(stream, 0)
    assert [reader.source.offset_at(source, ms) for ms in (0, 1_500, 3_000, 3_001)] == [0, 1, 2, 3]
    reader.source.close()
