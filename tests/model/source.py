"""The group's consumer behind the `Source` port, on the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from tests.model.broker import TOPIC_ID, Broker, fetched
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
    def __init__(self, broker: Broker, net: Net) -> None:
        self._broker = broker
        self._net = net
        self._member: str | None = None
        self._generation = -1
        self._held: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        self._told: dict[TopicPartition, int] = {}
        self._changes: list[Change] = []

    # The group.

    def _follow(self) -> None:
        group = self._broker.group
        if self._member not in group.members:
            self._change(self._held, gained=False)
            self._held = set()
            self._member = group.join()
        lost, gained = group.sync(self._member)
        self._held = self._held - lost | gained
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
        if self._member is None:
            return None
        if self._member not in group.members:
            return None if self._net.chance("eviction known") else Membership(self._member, self._generation)
        if not group.surplus(self._member) and self._net.chance("rejoined behind"):
            self._generation = group.generation  # nothing to give up: the client rejoins without being polled
        return Membership(self._member, self._generation)

    # Records.

    def poll(self, limit: int, timeout: float, linger: float) -> Polled:
        self._net.step("poll")
        if self._member is None or not self._net.chance("prefetched"):
            self._follow()
        polled = Polled()
        for source in sorted(self._next):
            self._fetch(source, self._net.share(limit - polled.count), polled)
        if self._net.chance("raises"):  # what was fetched counts as delivered
            return Polled(raised=KafkaException(KafkaError(KafkaError._FAIL, "planted")))
        self._net.wait(linger)
        self._net.step("polled")
        return polled

    def _fetch(self, source: TopicPartition, limit: int, polled: Polled) -> None:
        log, start = self._broker.logs[source], self._next[source]
        if start > len(log):
            if self._told.get(source) != start:
                self._told[source] = start
                polled.faults.append((source, Fault.OFFSET_GONE, "offset out of range"))
            return
        stop = min(start + limit, len(log))
        found = [(offset, record) for offset in range(start, stop) if (record := log[offset]) is not None]
        self._next[source] = stop
        if found:
            polled.records.append(fetched(source, found))
            polled.count += len(found)
            self._net.read(source, self._generation)
        if stop == len(log) and self._told.get(source) != stop:
            self._told[source] = stop
            polled.ends[source] = stop

    def start(self, source: TopicPartition, offset: int) -> None:
        self._net.step("start")
        if source in self._held:
            self._next[source] = offset
            self._told.pop(source, None)

    def hold(self, source: TopicPartition) -> None:
        self._next.pop(source, None)

    # Questions.

    def committed(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        self._net.step("committed")
        self._may_fail("the committed offsets")
        return {source: self._broker.stable(source) for source in sources}

    def commit(self, offsets: Sequence[Any]) -> None:
        """A plain commit, of librdkafka's offsets."""
        assert self._member is not None
        for part in offsets:
            source, commit = TopicPartition(part.topic, part.partition), Commit(part.offset, part.metadata)
            with Answers():
                self._broker.commit(source, commit, Membership(self._member, self._generation))
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
        later = (offset for offset, one in enumerate(log) if one is not None and one.timestamp >= timestamp_ms)
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
        if self._member is not None:
            self._broker.group.leave(self._member)
