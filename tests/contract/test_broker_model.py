"""What tests/model/ takes Kafka to do, on the real one too: without this its schedules would prove nothing."""

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
from worker.ports.log import Committed, Fault, Polled, Source, TopicPartition

TIMEOUT_S = 3.0


class Modelled:
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
        """Until a transaction that is open has been aborted."""
        self._now += TRANSACTION_TIMEOUT_S
        self._broker.expire()


class Real:
    def __init__(self, kafka: KafkaCluster, stream: str) -> None:
        self._kafka = kafka
        self.topic = stream
        kafka.create_topic(stream, 4)
        kafka.create_topic(f"{stream}.out", 1)

    def source(self) -> Source:
        return KafkaSource(self._kafka.bootstrap, f"group-{self.topic}", [self.topic], {})

    def producer(self, name: str, seconds: float) -> Any:
        return Producer({"bootstrap.servers": self._kafka.bootstrap, "transactional.id": f"{self.topic}-{name}",
                         "transaction.timeout.ms": int(seconds * 1_000)})  # fmt: skip

    def feed(self, count: int) -> None:
        self._kafka.produce(self.topic, [b"%d" % i for i in range(count)], partition=0)

    def visible(self) -> list[bytes]:
        """Up to the last stable offset, whatever lies beyond."""
        topic = f"{self.topic}.out"
        reader = self._kafka.reader("read_committed")
        end = reader.get_watermark_offsets(KafkaPartition(topic, 0), 10)[
            1
        ]  # of a read_committed reader: the stable one
        reader.assign([KafkaPartition(topic, 0, 0)])
        found: list[bytes] = []
        while end and reader.position([KafkaPartition(topic, 0)])[0].offset < end:
            found += [one.value() or b"" for one in reader.consume(100, 0.2) if one.error() is None]
        reader.close()
        return found

    def time_out(self) -> None:
        time.sleep(TIMEOUT_S + 3.0)


Side = Modelled | Real


@pytest.fixture(params=["model", "kafka"])
def side(request: pytest.FixtureRequest, stream: str) -> Side:
    return Modelled() if request.param == "model" else Real(request.getfixturevalue("kafka"), stream)


class Member:
    """A source that is polled, and what it was told."""

    def __init__(self, side: Side) -> None:
        self.source = side.source()
        self.held: set[TopicPartition] = set()
        self.released: list[TopicPartition] = []
        self.polled: list[Polled] = []

    def poll(self) -> None:
        self.polled.append(self.source.poll(100, 0.2, 0.01))
        for change in self.source.changes():
            (self.held.add if change.gained else self.held.discard)(change.source)
            if not change.gained:
                self.released.append(change.source)

    def offsets(self) -> list[int]:
        return [int(o) for polled in self.polled for records in polled.records for o in records.offsets]


def until(done: Callable[[], bool], *members: Member) -> None:
    deadline = time.monotonic() + 40
    while not done():
        assert time.monotonic() < deadline, [member.held for member in members]
        for member in members:
            member.poll()


def joined(side: Side) -> Member:
    member = Member(side)
    until(lambda: len(member.held) == 4, member)
    return member


def begun(side: Side, name: str = "p", seconds: float = 60.0) -> Any:
    producer = side.producer(name, seconds)
    producer.init_transactions(30)
    producer.begin_transaction()
    return producer


def send(producer: Any, side: Side, offsets: dict[int, int], membership: object) -> None:
    parts = [KafkaPartition(side.topic, number, offset, f"m{offset}") for number, offset in offsets.items()]
    producer.send_offsets_to_transaction(parts, membership, 30)


def put(producer: Any, side: Side, value: bytes) -> None:
    producer.produce(f"{side.topic}.out", value, None, headers=[])
    if isinstance(producer, Producer):
        producer.flush(30)
    else:
        producer._flush()


def settled(member: Member, wanted: dict[TopicPartition, Committed | None]) -> None:
    """A commit's markers may follow its answer."""
    deadline = time.monotonic() + 15
    while (found := member.source.committed(list(wanted))) != wanted:
        assert time.monotonic() < deadline, (found, wanted)
        time.sleep(0.1)


def seen(side: Side, wanted: list[bytes]) -> None:
    """The same of outputs."""
    deadline = time.monotonic() + 15
    while (found := side.visible()) != wanted:
        assert time.monotonic() < deadline, (found, wanted)


def places(side: Side) -> list[TopicPartition]:
    return [TopicPartition(side.topic, number) for number in range(4)]


def refusal(call: Callable[[], object]) -> KafkaError:
    with pytest.raises(KafkaException) as caught:
        call()
    error: KafkaError = caught.value.args[0]
    return error


def test_offsets_and_outputs_count_together_and_are_pending_until_then(side: Side) -> None:
    member, (zero, one, *_) = joined(side), places(side)
    producer = begun(side)
    put(producer, side, b"out")
    send(producer, side, {0: 5}, member.source.membership())
    assert member.source.committed([zero, one]) == {zero: None, one: Committed(None)}
    assert side.visible() == []
    producer.commit_transaction(30)
    settled(member, {zero: Committed(5, "m5"), one: Committed(None)})
    seen(side, [b"out"])
    member.source.close()


def test_of_an_aborted_transaction_nothing_counts(side: Side) -> None:
    member, (zero, *_) = joined(side), places(side)
    producer = begun(side)
    put(producer, side, b"out")
    send(producer, side, {0: 5}, member.source.membership())
    producer.abort_transaction(30)
    settled(member, {zero: Committed(None)})
    assert side.visible() == []
    member.source.close()


def test_the_same_id_again_ends_what_was_open_and_fences_who_had_it(side: Side) -> None:
    member, (zero, *_) = joined(side), places(side)
    first = begun(side)
    put(first, side, b"first")
    send(first, side, {0: 5}, member.source.membership())
    second = begun(side)
    settled(member, {zero: Committed(None)})
    error = refusal(lambda: first.commit_transaction(30))
    assert (error.code(), error.fatal()) == (KafkaError._FENCED, True)
    put(second, side, b"second")
    send(second, side, {0: 6}, member.source.membership())
    second.commit_transaction(30)
    settled(member, {zero: Committed(6, "m6")})
    seen(side, [b"second"])
    member.source.close()


@pytest.mark.parametrize("late", ["commits", "sends more offsets"])
def test_what_is_open_for_too_long_is_aborted_and_its_producer_fenced(side: Side, late: str) -> None:
    member, (zero, *_) = joined(side), places(side)
    producer = begun(side, seconds=TIMEOUT_S)
    put(producer, side, b"out")
    send(producer, side, {0: 5}, member.source.membership())
    side.time_out()
    settled(member, {zero: Committed(None)})
    calls = {"commits": lambda: producer.commit_transaction(30),
             "sends more offsets": lambda: send(producer, side, {1: 5}, member.source.membership())}  # fmt: skip
    assert refusal(calls[late]).fatal()
    assert side.visible() == []
    member.source.close()


def test_readers_wait_at_the_first_open_transaction(side: Side) -> None:
    slow, quick = begun(side, "slow"), begun(side, "quick")
    put(slow, side, b"slow")
    put(quick, side, b"quick")
    quick.commit_transaction(30)
    assert side.visible() == []
    slow.commit_transaction(30)
    seen(side, [b"slow", b"quick"])


def test_only_what_moves_is_released_and_an_earlier_membership_is_refused(side: Side) -> None:
    first = joined(side)
    before = first.source.membership()
    second = Member(side)
    until(lambda: len(first.held) == len(second.held) == 2, first, second)
    assert len(first.released) == 2
    assert set(first.released) == second.held
    producer = begun(side)
    error = refusal(lambda: send(producer, side, {next(iter(first.held)).partition: 5}, before))
    assert (error.code(), error.txn_requires_abort(), error.fatal()) == (KafkaError.ILLEGAL_GENERATION, True, False)
    producer.abort_transaction(30)
    kept = min(first.held)
    producer.begin_transaction()
    send(producer, side, {kept.partition: 6}, first.source.membership())
    producer.commit_transaction(30)
    settled(second, {kept: Committed(6, "m6")})
    first.source.close()
    second.source.close()


def test_a_member_may_commit_what_it_does_not_own(side: Side) -> None:
    """Kafka asks for the generation alone: that a batch is no longer held is for the worker to know."""
    first, second = joined(side), Member(side)
    until(lambda: len(first.held) == len(second.held) == 2, first, second)
    foreign = min(second.held)
    producer = begun(side)
    send(producer, side, {foreign.partition: 7}, first.source.membership())
    producer.commit_transaction(30)
    settled(second, {foreign: Committed(7, "m7")})
    first.source.close()
    second.source.close()


def test_who_has_left_is_unknown(side: Side) -> None:
    member, stays = joined(side), Member(side)
    membership = member.source.membership()
    member.source.close()
    until(lambda: len(stays.held) == 4, stays)
    producer = begun(side)
    error = refusal(lambda: send(producer, side, {0: 5}, membership))
    assert (error.code(), error.txn_requires_abort(), error.fatal()) == (KafkaError.UNKNOWN_MEMBER_ID, True, False)
    stays.source.close()


def test_a_partition_ends_once_and_a_place_past_its_end_is_told_once(side: Side) -> None:
    side.feed(10)
    member, (zero, one, *_) = joined(side), places(side)
    member.source.start(zero, 4)
    until(lambda: any(polled.ends.get(zero) == 10 for polled in member.polled), member)
    assert member.offsets() == [4, 5, 6, 7, 8, 9]
    for _ in range(5):
        member.poll()
    assert [polled.ends[zero] for polled in member.polled if zero in polled.ends] == [10]
    member.source.start(one, 99)

    def faults() -> list[tuple[TopicPartition, Fault]]:
        return [(source, fault) for polled in member.polled for source, fault, _ in polled.faults]

    until(lambda: bool(faults()), member)
    for _ in range(5):
        member.poll()
    assert faults() == [(one, Fault.OFFSET_GONE)]
    member.source.start(one, 0)
    until(lambda: any(polled.ends.get(one) == 0 for polled in member.polled), member)
    member.source.close()
