"""A worker in the test's own process, turned by hand, on the real Kafka and Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.scenarios.stream import Stream
from worker.compose import build
from worker.lifecycle import StopToken
from worker.loop import Worker
from worker.partitions.assigned import Phase, Placed


class InProcessWorker:
    def __init__(self, setup: Stream, instance: str) -> None:
        self.collaborators = build(setup.settings, StopToken(), instance)
        self.worker = Worker(self.collaborators, StopToken())
        self.feed = self.collaborators.feed
        self.telemetry = self.collaborators.telemetry

    def placed(self) -> list[Placed]:
        """Of the partitions that are placed."""
        return [assigned.placed for assigned in self.worker.assignment if assigned.placed is not None]

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
        self.until(lambda: sum(one.committed.offset for one in self.placed() if one.committed) >= records)

    def close(self) -> None:
        self.worker.drain()
        self._end()

    def _end(self) -> None:
        self.collaborators.snapshots.stop()
        self.collaborators.source.close()
        self.collaborators.sink.close()


@contextmanager
def in_process(setup: Stream, instance: str = "turned") -> Iterator[InProcessWorker]:
    """Drained at the end, unless the test fails."""
    one = InProcessWorker(setup, instance)
    try:
        yield one
    except BaseException:
        one._end()
        raise
    one.close()
