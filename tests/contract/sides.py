"""The model of the broker and the real Kafka behind one interface, and members and producers to try on both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from tests.model.broker import TRANSACTION_TIMEOUT_S, Broker, Record
from tests.model.net import Net
from tests.model.producer import ModelProducer
from tests.model.source import ModelSource
from tests.services.kafka import KafkaCluster
from worker.adapters.kafka_source import KafkaSource
from worker.ports.log import Committed, Polled, Source, TopicPartition

TIMEOUT_S = 3.0


class ModelSide:
    """The model of the broker, on a clock that is moved by hand."""

    def __init__(self) -> None:
        self._now = 0.0
        self.topic = "events"
        self._broker = Broker(lambda: self._now, 4)

    def source(self) -> Source:
        return ModelSource(self._broker, Net())

    def producer(self, name: str, seconds: float) -> Any:
        return ModelProducer(self._broker, name, Net())

    def feed(self, count: int) -> None:
        self._broker.logs[TopicPartition(self.topic, 0)] += [Record(1, b"k", b"%d" % i) for i in range(count)]

    def visible(self) -> list[bytes]:
        return [output.value for output in self._broker.visible()]

    def time_out(self) -> None:
        """Let open transactions time out."""
        self._now += TRANSACTION_TIMEOUT_S
        self._broker.expire()


class KafkaSide:
    """The real Kafka."""

    def __init__(self, kafka: KafkaCluster, stream: str) -> None:
        self._kafka = kafka
        self.topic = stream
        kafka.create_topic(stream, 4)
        kafka.create_topic(f"{stream}.out", 1)

    def source(self) -> Source:
        return KafkaSource(self._kafka.bootstrap, f"group-{self.topic}", [self.topic], {})

    def producer(self, name: str, seconds: float) -> Any:
        return Producer(
            {
                "bootstrap.servers": self._kafka.bootstrap,
                "transactional.id": f"{self.topic}-{name}",
                "transaction.timeout.ms": int(seconds * 1_000),
            }
        )

    def feed(self, count: int) -> None:
        self._kafka.produce(self.topic, [b"%d" % i for i in range(count)], partition=0)

    def visible(self) -> list[bytes]:
        """The outputs up to the last stable offset."""
        topic = f"{self.topic}.out"
        reader = self._kafka.reader("read_committed")
        # For a read_committed reader the end is the last stable offset.
        end = reader.get_watermark_offsets(KafkaPartition(topic, 0), 10)[1]
        reader.assign([KafkaPartition(topic, 0, 0)])
        values: list[bytes] = []
        while end and reader.position([KafkaPartition(topic, 0)])[0].offset < end:
            values += [message.value() or b"" for message in reader.consume(100, 0.2) if message.error() is None]
        reader.close()
        return values

    def time_out(self) -> None:
        """Nothing to do: `await_committed` waits until the broker has aborted the transaction."""


Side = ModelSide | KafkaSide


class Member:
    """A source that is polled, with everything that it returned."""

    def __init__(self, side: Side) -> None:
        self.source = side.source()
        self.owned: set[TopicPartition] = set()
        self.released: list[TopicPartition] = []
        self.polled: list[Polled] = []

    def poll(self) -> None:
        self.polled.append(self.source.poll(100, 0.2, 0.01))
        for change in self.source.changes():
            (self.owned.add if change.gained else self.owned.discard)(change.source)
            if not change.gained:
                self.released.append(change.source)

    def offsets(self) -> list[int]:
        return [int(o) for polled in self.polled for records in polled.records for o in records.offsets]


def poll_until(done: Callable[[], bool], *members: Member) -> None:
    """Poll all members until `done` returns True."""
    deadline = time.monotonic() + 40
    while not done():
        assert time.monotonic() < deadline, [member.owned for member in members]
        for member in members:
            member.poll()


def join(side: Side) -> Member:
    """A member that owns all partitions."""
    member = Member(side)
    poll_until(lambda: len(member.owned) == 4, member)
    return member


def begin(side: Side, name: str = "p", seconds: float = 60.0) -> Any:
    producer = side.producer(name, seconds)
    producer.init_transactions(30)
    producer.begin_transaction()
    return producer


def send_offsets(producer: Any, side: Side, offsets: dict[int, int], membership: object) -> None:
    parts = [KafkaPartition(side.topic, number, offset, f"m{offset}") for number, offset in offsets.items()]
    producer.send_offsets_to_transaction(parts, membership, 30)


def produce(producer: Any, side: Side, value: bytes) -> None:
    """Produce an output, and wait until the broker has it."""
    producer.produce(f"{side.topic}.out", value, None, headers=[])
    producer.flush(30)


def await_committed(member: Member, expected: dict[TopicPartition, Committed | None]) -> None:
    """Wait until these are the committed offsets: markers may follow the answer to a commit, or a timeout."""
    deadline = time.monotonic() + 15
    while (actual := member.source.committed(list(expected))) != expected:
        assert time.monotonic() < deadline, (actual, expected)
        time.sleep(0.1)


def await_visible(side: Side, expected: list[bytes]) -> None:
    """Wait until these are the outputs that a `read_committed` reader sees."""
    deadline = time.monotonic() + 15
    while (actual := side.visible()) != expected:
        assert time.monotonic() < deadline, (actual, expected)


def partitions(side: Side) -> list[TopicPartition]:
    return [TopicPartition(side.topic, number) for number in range(4)]


def refusal(call: Callable[[], object]) -> KafkaError:
    """The error that the call must raise."""
    with pytest.raises(KafkaException) as caught:
        call()
    error: KafkaError = caught.value.args[0]
    return error
