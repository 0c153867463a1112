"""A worker in the test's own process, whose turns the test makes, on the real Kafka and Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, Producer

from tests.scenarios.stream import Stream
from worker.compose import build
from worker.health.status import Status
from worker.lifecycle import StopToken
from worker.loop import Worker
from worker.partitions.assigned import Phase, Placed


class InProcessWorker:
    """The worker as it is composed for production, without its threads for the model feed and HTTP.

    `consumer` is librdkafka's client behind the source. The clients are made by `consumer_type` and `producer_type`.
    """

    def __init__(
        self,
        setup: Stream,
        instance: str,
        consumer_type: type[Consumer] = Consumer,
        producer_type: type[Producer] = Producer,
    ) -> None:
        def make_consumer(config: dict[str, Any]) -> Consumer:
            self.consumer = consumer_type(config)
            return self.consumer

        self.collaborators = build(setup.settings, StopToken(), instance, make_consumer, producer_type)
        self.worker = Worker(self.collaborators, StopToken())
        self.assignment = self.worker.assignment
        self.feed = self.collaborators.feed
        self.telemetry = self.collaborators.telemetry
        self.status = Status(setup.settings, self.assignment, lambda: self.worker.last_turn, self.feed, self.telemetry)

    def placed(self) -> list[Placed]:
        """The state and metadata of each partition that recovery has placed."""
        return [assigned.placed for assigned in self.assignment if assigned.placed is not None]

    def phases(self) -> list[Phase]:
        return [assigned.phase for assigned in self.assignment]

    def committed_records(self) -> int:
        """The sum of the offsets that the partitions are known to have committed."""
        return sum(placed.committed.offset for placed in self.placed() if placed.committed is not None)

    def snapshotted(self) -> bool:
        """Whether every partition's commit names a stored snapshot of all that it has."""
        placed = self.placed()
        return len(placed) == len(self.assignment) and all(
            partition.stored is not None
            and partition.committed is not None
            and partition.stored.offset == partition.state.next_offset
            and partition.committed.metadata == partition.metadata.encode()
            and any(base.snapshot == partition.stored.id for base in partition.metadata.bases)
            for partition in placed
        )

    def turn_until(self, done: Callable[[], bool], seconds: float = 60.0) -> None:
        """Make turns until `done` returns True."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, [(each.phase, each.waiting_for) for each in self.assignment]
            self.worker.turn()

    def turn_until_live(self, partitions: int = 2) -> None:
        """Make turns until the worker has this many partitions and all of them are live."""
        self.turn_until(lambda: self.phases() == [Phase.LIVE] * partitions)

    def turn_until_committed(self, records: int) -> None:
        """Make turns until the partitions' committed offsets add up to at least `records`."""
        self.turn_until(lambda: self.committed_records() >= records)

    def close(self) -> None:
        """Drain, and leave the group."""
        self.worker.drain()
        self.abandon()

    def abandon(self) -> None:
        """Leave the group without a drain, as a worker that fails does."""
        self.collaborators.snapshots.stop()
        self.collaborators.source.close()
        self.collaborators.sink.close()


@contextmanager
def in_process(
    setup: Stream,
    instance: str = "in-process",
    consumer_type: type[Consumer] = Consumer,
    producer_type: type[Producer] = Producer,
) -> Iterator[InProcessWorker]:
    """A worker that is drained at the end, unless the test fails."""
    member = InProcessWorker(setup, instance, consumer_type, producer_type)
    try:
        yield member
    except BaseException:
        member.abandon()
        raise
    member.close()
