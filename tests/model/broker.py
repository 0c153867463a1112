"""What a group's members and their producers can tell of one Kafka cluster: logs, generations, transactions, offsets.

Only behaviour that tests/contract/test_broker_model.py finds on the real Kafka too. Time moves when its owner moves it.
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
    """The broker's answer: a `KafkaError` code, and what a client makes of it."""

    def __init__(self, code: int, *, fatal: bool = False, abortable: bool = False) -> None:
        super().__init__(code)
        self.code, self.fatal, self.abortable = code, fatal, abortable


class Outcome(Enum):
    """DECIDED: a commit that the coordinator has taken, whose markers are not written yet."""

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
    """An event, `timestamp` in ms."""

    timestamp: int
    key: bytes | None
    value: bytes | None


def fetched(source: TopicPartition, found: list[tuple[int, Record]]) -> Records:
    """Records with their offsets as a source delivers them."""
    offsets = np.array([offset for offset, _ in found], np.int64)
    timestamps = np.array([record.timestamp for _, record in found], np.int64)
    return Records(source, offsets, timestamps, [record.value for _, record in found], lambda i: found[i][1].key)


@dataclass(frozen=True, slots=True)
class Written:
    """An output in its log; without a transaction it counts at once."""

    output: Output
    transaction: Transaction | None


class Broker:
    """`committed` is told of each group offset as it becomes stable, `monotonic` in seconds."""

    def __init__(self, monotonic: Callable[[], float], partitions: int, topic: str = "events") -> None:
        self.monotonic = monotonic
        self.topic = topic
        self.logs: dict[TopicPartition, list[Record | None]] = {
            TopicPartition(topic, number): [] for number in range(partitions)
        }
        """None is an offset that no record has, as of a transaction's marker."""
        self.group = Group(self.logs)
        self.offsets: dict[TopicPartition, Commit] = {}
        self.written: list[Written] = []
        self.committed: Callable[[TopicPartition, Commit], None] = lambda *_: None
        self._epochs: dict[str, int] = {}
        self._transactions: dict[str, Transaction] = {}

    # Transactions, by transactional id and producer epoch.

    def begin_producer(self, producer: str) -> int:
        """init_transactions: ends what the id left open, and fences who had it."""
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
        """Raises Refused for another generation than the present one, whoever owns the partitions."""
        transaction = self._open(producer, epoch)
        if membership is not None and membership.member not in self.group.members:
            raise Refused(KafkaError.UNKNOWN_MEMBER_ID, abortable=True)
        if membership is not None and membership.generation != self.group.generation:
            raise Refused(KafkaError.ILLEGAL_GENERATION, abortable=True)
        transaction.offsets |= offsets

    def end(self, producer: str, epoch: int, *, commit: bool) -> Transaction | None:
        """A commit is decided here and counts once it is finished; None where nothing had been written."""
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
        """The markers of a decided commit."""
        transaction.outcome = Outcome.COMMITTED
        for source, commit in transaction.offsets.items():
            self._commit(source, commit)

    def decided(self) -> list[Transaction]:
        return [one for one in self._transactions.values() if one.outcome is Outcome.DECIDED]

    def expire(self) -> None:
        """Abort what has been open for longer than the transaction time-out, and fence its producer."""
        for producer, transaction in self._transactions.items():
            if transaction.outcome is Outcome.OPEN and self.monotonic() - transaction.began >= TRANSACTION_TIMEOUT_S:
                self._abort(transaction)
                self._epochs[producer] += 1

    def _open(self, producer: str, epoch: int) -> Transaction:
        self._check(producer, epoch)
        transaction = self._transactions.get(producer)
        if transaction is not None and transaction.outcome is Outcome.DECIDED:
            self.finish(transaction)  # the client waits for it before it begins another
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
        """A transaction that is not over holds an offset of this partition."""
        return any(
            source in one.offsets and one.outcome in (Outcome.OPEN, Outcome.DECIDED)
            for one in self._transactions.values()
        )

    def stable(self, source: TopicPartition) -> Committed | None:
        return None if self.pending(source) else self.unstable(source)

    def unstable(self, source: TopicPartition) -> Committed:
        """What a `read_uncommitted` asker is told."""
        commit = self.offsets.get(source)
        return Committed(None) if commit is None else Committed(commit.offset, commit.metadata)

    def commit(self, source: TopicPartition, commit: Commit, membership: Membership | None = None) -> None:
        """A plain commit: a member's, or without membership an operator's."""
        if membership is not None and membership.member not in self.group.members:
            raise Refused(KafkaError.UNKNOWN_MEMBER_ID)
        if membership is not None and membership.generation != self.group.generation:
            raise Refused(KafkaError.ILLEGAL_GENERATION)
        self._commit(source, commit)

    def _commit(self, source: TopicPartition, commit: Commit) -> None:
        self.offsets[source] = commit
        self.committed(source, commit)

    # Outputs.

    def append(self, output: Output) -> None:
        """Without a transaction."""
        self.written.append(Written(output, None))

    def visible(self) -> list[Output]:
        """What a `read_committed` reader sees of the outputs, taken as one log: up to the last stable offset."""
        found = []
        for one in self.written:
            outcome = one.transaction.outcome if one.transaction is not None else Outcome.COMMITTED
            if outcome in (Outcome.OPEN, Outcome.DECIDED):
                break
            if outcome is Outcome.COMMITTED:
                found.append(one.output)
        return found
