"""A worker in the test's own process, turned by hand, on the real Kafka and Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.scenarios.stream import Stream
from worker.compose import build
from worker.lifecycle import StopToken
from worker.loop import Worker
from worker.partitions.assigned import Phase
from worker.partitions.serving import ModelFeed
from worker.telemetry import Telemetry


class Turned:
    def __init__(self, made: Stream, instance: str) -> None:
        self.worker: Worker
        self.feed: ModelFeed
        self.telemetry: Telemetry
        self.worker, self.feed, self.telemetry = build(made.settings, StopToken(), instance)

    def until(self, done: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, [
                (assigned.phase, assigned.waiting_for) for assigned in self.worker.assignment
            ]
            self.worker.turn()

    def live(self, partitions: int = 2) -> None:
        self.until(lambda: [assigned.phase for assigned in self.worker.assignment] == [Phase.LIVE] * partitions)

    def committed(self, records: int) -> None:
        """Until the partitions' commits add up to so many records."""
        self.until(lambda: sum(max(assigned.committed[0], 0) for assigned in self.worker.assignment) >= records)

    def close(self) -> None:
        self.worker.drain()
        self._end()

    def _end(self) -> None:
        parts = self.worker._parts
        parts.snapshots.stop()
        parts.source.close()
        parts.sink.close()


@contextmanager
def turned(made: Stream, instance: str = "turned") -> Iterator[Turned]:
    """Drained at the end, unless the test fails."""
    one = Turned(made, instance)
    try:
        yield one
    except BaseException:
        one._end()
        raise
    one.close()
