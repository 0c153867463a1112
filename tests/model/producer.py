"""A transactional producer with librdkafka's calls, on the model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException

from tests.model.broker import Broker, Outcome, Refused, Transaction
from tests.model.group import Membership
from tests.model.net import Answers, Net
from worker.ports.log import Commit, Output, TopicPartition


class _Part(Protocol):
    topic: str
    partition: int
    offset: int
    metadata: str


class ModelProducer:
    """The calls of a transactional `confluent_kafka.Producer` that offbeat makes, with their errors."""

    def __init__(self, broker: Broker, name: str, net: Net) -> None:
        self._broker = broker
        self._name = name
        self._net = net
        self._epoch = -1
        self._unsent: list[Output] = []
        self._ending: Transaction | None = None
        self._on_its_way = False

    def init_transactions(self, timeout: float) -> None:
        self._net.step("init")
        self._lost(timeout)
        self._epoch = self._broker.begin_producer(self._name)
        self._net.step("begun")

    def begin_transaction(self) -> None:
        self._unsent, self._ending, self._on_its_way = [], None, False

    def produce(self, topic: str, value: bytes, key: bytes | None, headers: Any = (), **_: Any) -> None:
        self._unsent.append(Output(TopicPartition("", 0), topic, key, value, headers, kind=""))
        if self._net.chance("sent at once"):
            with suppress(Refused):  # the next call says it
                self._flush()

    def poll(self, timeout: float = 0) -> int:
        self._net.step("produced")
        return 0

    def _flush(self) -> None:
        for output in self._unsent:
            self._broker.write(self._name, self._epoch, output)
        self._unsent = []

    def send_offsets_to_transaction(
        self, offsets: Sequence[_Part], membership: Membership | None, timeout: float
    ) -> None:
        self._net.step("send offsets")
        plain = {TopicPartition(one.topic, one.partition): Commit(one.offset, one.metadata) for one in offsets}
        with Answers():
            self._lost(timeout)
            self._flush()
            self._net.offered(plain, membership)
            self._net.accepted(was=False)
            self._broker.add_offsets(self._name, self._epoch, plain, membership)
            self._net.accepted(was=True)
            self._net.step("offsets sent")
            self._lost(timeout)

    def commit_transaction(self, timeout: float) -> None:
        self._net.step("commit")
        with Answers():
            if self._ending is None and not self._on_its_way:
                self._lost(timeout)
                self._flush()
                self._on_its_way = True
                if self._net.chance("commit delayed"):
                    self._net.late(self)
                    self._time_out(timeout)
                self.arrive()
            elif self._ending is None:  # the same call again resumes
                self._time_out(timeout)
            self._net.step("commit sent")
            self._lost(timeout)
            self._answer(timeout)

    def arrive(self) -> None:
        """The commit reaches the coordinator; its markers may take longer."""
        if self._ending is None:
            self._ending = self._broker.end(self._name, self._epoch, commit=True)
            decided = self._ending is not None and self._ending.outcome is Outcome.DECIDED
            if decided and not self._net.chance("markers delayed"):
                assert self._ending is not None
                self._broker.finish(self._ending)

    def _answer(self, timeout: float) -> None:
        if self._ending is None or self._ending.outcome is Outcome.COMMITTED:
            return
        if self._ending.outcome is Outcome.ABORTED:
            raise Refused(KafkaError._FENCED, fatal=True)
        self._time_out(timeout)

    def abort_transaction(self, timeout: float) -> None:
        self._net.step("abort")
        with Answers():
            self._lost(timeout)
            self._unsent = []
            self._broker.end(self._name, self._epoch, commit=False)
            self._net.step("aborted")

    def _lost(self, timeout: float) -> None:
        """A request, or its answer, does not arrive."""
        if self._net.chance("lost"):
            self._time_out(timeout)

    def _time_out(self, timeout: float) -> None:
        self._net.wait(timeout)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer: retry to resume", False, True))
