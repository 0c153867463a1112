"""A transactional producer with librdkafka's interface, on the model."""

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
    """The methods of a transactional `confluent_kafka.Producer` that offbeat calls, with their errors."""

    def __init__(self, broker: Broker, name: str, net: Net) -> None:
        self._broker = broker
        self._name = name
        self._net = net
        self._epoch = -1
        self._unsent: list[Output] = []
        self._ending: Transaction | None = None
        self._commit_sent = False

    def init_transactions(self, timeout: float) -> None:
        self._net.step("init")
        self._maybe_lose(timeout)
        self._epoch = self._broker.begin_producer(self._name)
        self._net.step("begun")

    def begin_transaction(self) -> None:
        self._unsent, self._ending, self._commit_sent = [], None, False

    def produce(self, topic: str, value: bytes, key: bytes | None, headers: Any = (), **_: Any) -> None:
        self._unsent.append(Output(TopicPartition("", 0), topic, key, value, headers, kind=""))
        if self._net.chance("sent at once"):
            with suppress(Refused):  # the next call reports it
                self._write_unsent()

    def poll(self, timeout: float = 0) -> int:
        self._net.step("produced")
        return 0

    def flush(self, timeout: float) -> int:
        self._write_unsent()
        return 0

    def _write_unsent(self) -> None:
        for output in self._unsent:
            self._broker.write(self._name, self._epoch, output)
        self._unsent = []

    def send_offsets_to_transaction(
        self, offsets: Sequence[_Part], membership: Membership | None, timeout: float
    ) -> None:
        self._net.step("send offsets")
        plain = {TopicPartition(part.topic, part.partition): Commit(part.offset, part.metadata) for part in offsets}
        with Answers():
            self._maybe_lose(timeout)
            self._write_unsent()
            self._net.offered(plain, membership)
            self._net.answered(accepted=False)
            self._broker.add_offsets(self._name, self._epoch, plain, membership)
            self._net.answered(accepted=True)
            self._net.step("offsets sent")
            self._maybe_lose(timeout)

    def commit_transaction(self, timeout: float) -> None:
        self._net.step("commit")
        with Answers():
            if self._ending is None and not self._commit_sent:
                self._maybe_lose(timeout)
                self._write_unsent()
                self._commit_sent = True
                if self._net.chance("commit delayed"):
                    self._net.delay(self)
                    self._time_out(timeout)
                self.deliver_commit()
            elif self._ending is None:  # calling it again resumes
                self._time_out(timeout)
            self._net.step("commit sent")
            self._maybe_lose(timeout)
            self._await_end(timeout)

    def deliver_commit(self) -> None:
        """The commit reaches the coordinator. Its markers may take longer."""
        if self._ending is None:
            self._ending = self._broker.end(self._name, self._epoch, commit=True)
            decided = self._ending is not None and self._ending.outcome is Outcome.DECIDED
            if decided and not self._net.chance("markers delayed"):
                assert self._ending is not None
                self._broker.finish(self._ending)

    def _await_end(self, timeout: float) -> None:
        if self._ending is None or self._ending.outcome is Outcome.COMMITTED:
            return
        if self._ending.outcome is Outcome.ABORTED:
            raise Refused(KafkaError._FENCED, fatal=True)
        self._time_out(timeout)

    def abort_transaction(self, timeout: float) -> None:
        self._net.step("abort")
        with Answers():
            self._maybe_lose(timeout)
            self._unsent = []
            self._broker.end(self._name, self._epoch, commit=False)
            self._net.step("aborted")

    def _maybe_lose(self, timeout: float) -> None:
        """A request or its answer may get lost."""
        if self._net.chance("lost"):
            self._time_out(timeout)

    def _time_out(self, timeout: float) -> None:
        self._net.wait(timeout)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer: retry to resume", False, True))
