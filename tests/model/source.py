"""The group's consumer behind the `Source` port, on the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from tests.model.broker import TOPIC_ID, Broker, to_records
from tests.model.group import Membership
from tests.model.net import Answers, Net
from worker.ports.log import (
    Change,
    Commit,
    Committed,
    Fault,
    LogUnavailable,
    Polled,
    TopicPartition,
)


class ModelSource:
    """A member of the group. `member` is its id, None before the first poll."""

    def __init__(self, broker: Broker, net: Net) -> None:
        self._broker = broker
        self._net = net
        self.member: str | None = None
        self._generation = -1
        self._owned: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        self._reported: dict[TopicPartition, int] = {}
        self._changes: list[Change] = []

    # The group.

    def _rejoin(self) -> None:
        """Join the group and take part in a rebalance, as every poll does."""
        group = self._broker.group
        if self.member not in group.members:
            self._change(self._owned, gained=False)
            self._owned = set()
            self.member = group.join()
        lost, gained = group.sync(self.member)
        self._owned = self._owned - lost | gained
        self._change(lost, gained=False)
        self._change(gained, gained=True)
        self._generation = group.generation

    def _change(self, sources: set[TopicPartition], *, gained: bool) -> None:
        for source in sorted(sources):
            self._next.pop(source, None)
            self._changes.append(Change(source, gained))

    def changes(self) -> list[Change]:
        changes, self._changes = self._changes, []
        return changes

    def membership(self) -> Membership | None:
        self._net.step("membership")
        group = self._broker.group
        if self.member is None:
            return None
        if self.member not in group.members:
            return None if self._net.chance("eviction known") else Membership(self.member, self._generation)
        if not group.surplus(self.member) and self._net.chance("rejoined behind"):
            self._generation = group.generation  # a client with nothing to give up rejoins without being polled
        return Membership(self.member, self._generation)

    # Records.

    def poll(self, limit: int, timeout: float, linger: float) -> Polled:
        self._net.step("poll")
        if self.member is None or not self._net.chance("prefetched"):
            self._rejoin()
        polled = Polled()
        for source in sorted(self._next):
            self._fetch(source, self._net.share(limit - polled.count), polled)
        if self._net.chance("raises"):  # the records count as delivered
            return Polled(raised=KafkaException(KafkaError(KafkaError._FAIL, "planted")))
        self._net.wait(linger)
        self._net.step("polled")
        return polled

    def _fetch(self, source: TopicPartition, limit: int, polled: Polled) -> None:
        log, start = self._broker.logs[source], self._next[source]
        if start > len(log):
            if self._reported.get(source) != start:
                self._reported[source] = start
                polled.faults.append((source, Fault.OFFSET_GONE, "offset out of range"))
            return
        stop = min(start + limit, len(log))
        present = [(offset, record) for offset in range(start, stop) if (record := log[offset]) is not None]
        self._next[source] = stop
        if present:
            polled.records.append(to_records(source, present))
            polled.count += len(present)
            self._net.read(source, self._generation)
        if stop == len(log) and self._reported.get(source) != stop:
            self._reported[source] = stop
            polled.ends[source] = stop

    def start(self, source: TopicPartition, offset: int) -> None:
        self._net.step("start")
        if source in self._owned:
            self._next[source] = offset
            self._reported.pop(source, None)

    def hold(self, source: TopicPartition) -> None:
        self._next.pop(source, None)

    # Queries.

    def committed(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        self._net.step("committed")
        self._may_fail("the committed offsets")
        return {source: self._broker.stable(source) for source in sources}

    def commit(self, offsets: Sequence[Any]) -> None:
        """Commit librdkafka's offsets outside transactions."""
        assert self.member is not None
        for part in offsets:
            source, commit = TopicPartition(part.topic, part.partition), Commit(part.offset, part.metadata)
            with Answers():
                self._broker.commit(source, commit, Membership(self.member, self._generation))
        self._net.step("plainly committed")

    def bounds(self, source: TopicPartition, seconds: float = 5.0) -> tuple[int, int]:
        self._may_fail("bounds")
        return 0, len(self._broker.logs[source])

    def position(self, source: TopicPartition) -> int | None:
        return self._next.get(source)

    def end(self, source: TopicPartition) -> int | None:
        return len(self._broker.logs[source])

    def offset_at(self, source: TopicPartition, timestamp_ms: int) -> int:
        log = self._broker.logs[source]
        later = (offset for offset, record in enumerate(log) if record is not None and record.timestamp >= timestamp_ms)
        return next(later, len(log))

    def partitions(self, topic: str) -> int:
        return len(self._broker.logs)

    def topic_id(self, topic: str) -> str:
        self._may_fail("the topic id")
        return TOPIC_ID

    def _may_fail(self, what: str) -> None:
        if self._net.chance("no answer"):
            raise LogUnavailable(what)

    def close(self) -> None:
        if self.member is not None:
            self._broker.group.leave(self.member)
