"""A Kafka cluster as seen by the members of one group and their producers: logs, generations, transactions, offsets.

It has only behaviour that tests/contract/test_broker_model.py also finds on the real Kafka. Its owner moves the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from confluent_kafka import KafkaError

from tests.model.group import Group, Membership
from worker.ports.log import Commit, Committed, Output, Records, TopicPartition

TRANSACTION_TIMEOUT_S = 10.0
TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"


class Refused(Exception):
    """The broker refuses a call: a `KafkaError` code, and how a client classifies it."""

    def __init__(self, code: int, *, fatal: bool = False, abortable: bool = False) -> None:
        super().__init__(code)
        self.code, self.fatal, self.abortable = code, fatal, abortable


class Outcome(Enum):
    """The state of a transaction. DECIDED: the coordinator has accepted its commit, but not written the markers yet."""

    OPEN = "open"
    DECIDED = "decided"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(eq=False, slots=True)
class Transaction:
    producer: str
    began: float
    outcome: Outcome = Outcome.OPEN
    offsets: dict[TopicPartition, Commit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the input; `timestamp` in ms."""

    timestamp: int
    key: bytes | None
    value: bytes | None


def to_records(source: TopicPartition, fetched: list[tuple[int, Record]]) -> Records:
    """Offsets and records in the form in which a source delivers them."""
    offsets = np.array([offset for offset, _ in fetched], np.int64)
    timestamps = np.array([record.timestamp for _, record in fetched], np.int64)
    return Records(source, offsets, timestamps, [record.value for _, record in fetched], lambda i: fetched[i][1].key)


@dataclass(frozen=True, slots=True)
class Written:
    """An output in its log. Without a transaction it is visible at once."""

    output: Output
    transaction: Transaction | None


class Broker:
    """`on_commit` is called with each group offset as it becomes stable. `monotonic` is in seconds."""

    def __init__(self, monotonic: Callable[[], float], partitions: int, topic: str = "events") -> None:
        self.monotonic = monotonic
        self.topic = topic
        self.logs: dict[TopicPartition, list[Record | None]] = {
            TopicPartition(topic, number): [] for number in range(partitions)
        }
        """None stands for an offset without a record, such as that of a transaction marker."""
        self.group = Group(self.logs)
        self.offsets: dict[TopicPartition, Commit] = {}
        self.written: list[Written] = []
        self.on_commit: Callable[[TopicPartition, Commit], None] = lambda *_: None
        self._epochs: dict[str, int] = {}
        self._transactions: dict[str, Transaction] = {}

    # Transactions, by transactional id and producer epoch.

    def begin_producer(self, producer: str) -> int:
        """init_transactions: end the transaction that the id left open, and fence its earlier producer."""
        left = self._transactions.get(producer)
        if left is not None and left.outcome is Outcome.DECIDED:
            self.finish(left)
        self._abort(left)
        self._epochs[producer] = self._epochs.get(producer, 0) + 1
        return self._epochs[producer]

    def write(self, producer: str, epoch: int, output: Output) -> None:
        self.written.append(Written(output, self._open(producer, epoch)))

    def add_offsets(
        self, producer: str, epoch: int, offsets: dict[TopicPartition, Commit], membership: Membership | None
    ) -> None:
        """Raises Refused for any generation but the current one, no matter who owns the partitions."""
        transaction = self._open(producer, epoch)
        if membership is not None and membership.member not in self.group.members:
            raise Refused(KafkaError.UNKNOWN_MEMBER_ID, abortable=True)
        if membership is not None and membership.generation != self.group.generation:
            raise Refused(KafkaError.ILLEGAL_GENERATION, abortable=True)
        transaction.offsets |= offsets

    def end(self, producer: str, epoch: int, *, commit: bool) -> Transaction | None:
        """Abort, or decide a commit, which takes effect once it is finished. None if nothing was written."""
        self._check(producer, epoch)
        transaction = self._transactions.get(producer)
        if transaction is None or transaction.outcome is not Outcome.OPEN:
            return transaction
        if commit:
            transaction.outcome = Outcome.DECIDED
        else:
            self._abort(transaction)
        return transaction

    def finish(self, transaction: Transaction) -> None:
        """Write the markers of a decided commit."""
        transaction.outcome = Outcome.COMMITTED
        for source, commit in transaction.offsets.items():
            self._commit(source, commit)

    def decided(self) -> list[Transaction]:
        return [transaction for transaction in self._transactions.values() if transaction.outcome is Outcome.DECIDED]

    def expire(self) -> None:
        """Abort transactions that have been open for longer than the timeout, and fence their producers."""
        for producer, transaction in self._transactions.items():
            if transaction.outcome is Outcome.OPEN and self.monotonic() - transaction.began >= TRANSACTION_TIMEOUT_S:
                self._abort(transaction)
                self._epochs[producer] += 1

    def _open(self, producer: str, epoch: int) -> Transaction:
        self._check(producer, epoch)
        transaction = self._transactions.get(producer)
        if transaction is not None and transaction.outcome is Outcome.DECIDED:
            self.finish(transaction)  # the client waits for that before it begins another
        if transaction is None or transaction.outcome is not Outcome.OPEN:
            transaction = self._transactions[producer] = Transaction(producer, self.monotonic())
        return transaction

    def _check(self, producer: str, epoch: int) -> None:
        if self._epochs.get(producer) != epoch:
            raise Refused(KafkaError._FENCED, fatal=True)

    @staticmethod
    def _abort(transaction: Transaction | None) -> None:
        if transaction is not None and transaction.outcome is Outcome.OPEN:
            transaction.outcome = Outcome.ABORTED

    # Offsets.

    def pending(self, source: TopicPartition) -> bool:
        """Whether a transaction that is not over has an offset of this partition."""
        return any(
            source in transaction.offsets and transaction.outcome in (Outcome.OPEN, Outcome.DECIDED)
            for transaction in self._transactions.values()
        )

    def stable(self, source: TopicPartition) -> Committed | None:
        return None if self.pending(source) else self.unstable(source)

    def unstable(self, source: TopicPartition) -> Committed:
        """The answer to a `read_uncommitted` query."""
        commit = self.offsets.get(source)
        return Committed(None) if commit is None else Committed(commit.offset, commit.metadata)

    def commit(self, source: TopicPartition, commit: Commit, membership: Membership | None = None) -> None:
        """A commit outside transactions: by a member, or without `membership` by an operator."""
        if membership is not None and membership.member not in self.group.members:
            raise Refused(KafkaError.UNKNOWN_MEMBER_ID)
        if membership is not None and membership.generation != self.group.generation:
            raise Refused(KafkaError.ILLEGAL_GENERATION)
        self._commit(source, commit)

    def _commit(self, source: TopicPartition, commit: Commit) -> None:
        self.offsets[source] = commit
        self.on_commit(source, commit)

    # Outputs.

    def append(self, output: Output) -> None:
        """Write an output without a transaction."""
        self.written.append(Written(output, None))

    def visible(self) -> list[Output]:
        """The outputs that a `read_committed` reader sees, as one log: up to the last stable offset."""
        visible = []
        for written in self.written:
            transaction = written.transaction
            outcome = transaction.outcome if transaction is not None else Outcome.COMMITTED
            if outcome in (Outcome.OPEN, Outcome.DECIDED):
                break
            if outcome is Outcome.COMMITTED:
                visible.append(written.output)
        return visible
