"""The transactional sink on the real Kafka, when a call of the client hangs."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

import worker.adapters.kafka_transactional_producer as producer
from tests.services.kafka import KafkaCluster
from worker.adapters.kafka_producer import RecordLimits
from worker.adapters.kafka_sink import TransactionalSink
from worker.adapters.kafka_source import KafkaSource
from worker.ports.log import Commit, Output, ProducerReplaced, TopicPartition

CALLS = ("init_transactions", "send_offsets_to_transaction", "commit_transaction")


class HangingCall:
    """Makes a producer whose first call of one method hangs, before it does anything, until `released` is set."""

    def __init__(self, name: str) -> None:
        self.released = threading.Event()
        self.returned = threading.Event()
        self._name = name
        self._hangs = True

    def make_producer(self, config: dict[str, Any]) -> Producer:
        call = self

        def hang(self: Producer, *args: Any) -> None:
            first, call._hangs = call._hangs, False
            if first:
                call.released.wait(60)
            try:
                getattr(Producer, call._name)(self, *args)
            finally:
                if first:
                    call.returned.set()

        hanging: Producer = type("HangingProducer", (Producer,), {self._name: hang})(config)
        return hanging


@pytest.fixture
def bootstrap(kafka: KafkaCluster, stream: str) -> str:
    for topic in (stream, f"{stream}.alerts"):
        kafka.create_topic(topic, 4)
    return kafka.bootstrap


def join(bootstrap: str, stream: str) -> KafkaSource:
    source = KafkaSource(bootstrap, f"group-{stream}", [stream], {})
    deadline = time.monotonic() + 30
    while not source.changes():
        assert time.monotonic() < deadline
        source.poll(1, 0.2, 0.01)
    return source


@pytest.mark.parametrize("call", CALLS)
def test_a_hanging_call_is_abandoned_and_commits_nothing_when_it_returns(
    call: str, kafka: KafkaCluster, bootstrap: str, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = HangingCall(call)
    monkeypatch.setattr(producer, "PUBLISH_S", 3.0)
    source = join(bootstrap, stream)
    limits = RecordLimits(bootstrap, {}, [])
    sink = TransactionalSink(bootstrap, {}, f"id-{stream}", limits, hanging.make_producer)
    place, topic = TopicPartition(stream, 0), f"{stream}.alerts"

    def publish(value: bytes, offset: int) -> None:
        commits = {place: Commit(offset, value.decode())}
        sink.publish([Output(place, topic, b"k", value, (), kind="anomaly")], commits, source.membership())

    with pytest.raises(ProducerReplaced, match="did not return"):
        publish(b"given up", 7)
    publish(b"second", 2)
    hanging.released.set()
    assert hanging.returned.wait(30)
    third = [Output(place, topic, b"k", b"third", (), kind="anomaly")], {place: Commit(3, "third")}
    try:
        sink.publish(*third, source.membership())
    except ProducerReplaced:  # an initialisation that returns late fences the next one, once
        assert call == "init_transactions"
        sink.publish(*third, source.membership())

    assert [message.value() for message in kafka.read_committed(topic)] == [b"second", b"third"]
    answer = source.committed([place])[place]
    assert answer is not None and (answer.offset, answer.metadata) == (3, "third")
    sink.close()
    source.close()


def test_the_client_is_destroyed_in_the_thread_that_made_its_calls(bootstrap: str, stream: str) -> None:
    gone: list[str] = []

    class FailingProducer(Producer):
        def send_offsets_to_transaction(self, *_: Any) -> None:
            raise KafkaException(KafkaError(KafkaError._FATAL, "planted", True))

        def __del__(self) -> None:
            gone.append(threading.current_thread().name)

    source = join(bootstrap, stream)
    limits = RecordLimits(bootstrap, {}, [])
    sink = TransactionalSink(bootstrap, {}, f"id-{stream}", limits, FailingProducer)
    with pytest.raises(ProducerReplaced, match="planted") as caught:
        sink.publish([], {TopicPartition(stream, 0): Commit(1, "")}, source.membership())
    deadline = time.monotonic() + 10
    while not gone and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone == ["producer"], caught
    sink.close()
    source.close()


def test_a_property_that_the_client_does_not_know_ends_the_start(bootstrap: str, stream: str) -> None:
    with pytest.raises(KafkaException, match=r"batch\.sized"):
        TransactionalSink(bootstrap, {"batch.sized": 5}, f"id-{stream}", RecordLimits(bootstrap, {}, []))
