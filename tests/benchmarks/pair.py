"""Two workers as processes, one of which is killed, and the traces of that in their logs."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.flow import PARTITIONS
from tests.scenarios.processes import WorkerProcess
from tests.scenarios.stream import Stream


class Pair:
    """The workers of one group. One of them is killed, and the other takes over."""

    def __init__(self, setup: Stream, folder: Path) -> None:
        self._made, self._folder = setup, folder
        self.workers: list[WorkerProcess] = []

    def start(self, number: int) -> WorkerProcess:
        order = self._order(number)
        order.unlink(missing_ok=True)
        self.workers.append(WorkerProcess(self._made, f"pod-{number}", self._folder, (f"@{order}", 1)))
        return self.workers[-1]

    def _order(self, number: int | str) -> Path:
        """The file that orders that worker to die at a point."""
        return self._folder / f"pod-{number}.order"

    def complete(self) -> None:
        """Start the workers that are missing, and wait until each has two partitions."""
        running = {number_of(process) for process in self.workers}
        for missing in {0, 1} - running:
            self.start(missing)
        deadline = time.monotonic() + 120
        while any(len(partitions_of(process)) != PARTITIONS // 2 for process in self.workers):
            assert time.monotonic() < deadline, [partitions_of(process) for process in self.workers]
            time.sleep(0.2)

    def kill(self, point: str) -> tuple[float, set[int]]:
        """Kill the older worker; returns the wall-clock time of its death, and its partitions."""
        victim = self.workers.pop(0)
        lost = partitions_of(victim)
        if point == "anywhere":
            victim.signal(signal.SIGKILL)
        else:
            draft = self._folder / "draft.order"
            draft.write_text(point)
            draft.rename(self._order(number_of(victim)))
        assert victim.wait() == -signal.SIGKILL, victim.tail()
        return time.time(), lost

    def end(self) -> None:
        for process in self.workers:
            process.kill9()


def number_of(process: WorkerProcess) -> int:
    return int(process.log.name.rsplit("-", 2)[1])


def partitions_of(process: WorkerProcess) -> set[int]:
    """The partitions that the worker has, by its log."""
    changes = process.events("assigned") + process.events("released")
    last = {change["partition"]: change["event"] for change in sorted(changes, key=time_of)}
    return {partition for partition, event in last.items() if event == "assigned"}


def time_of(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def first_after(process: WorkerProcess, name: str, at: float, partitions: set[int]) -> dict[int, dict[str, Any]]:
    """By partition, the first log entry with this name after a moment."""
    first: dict[int, dict[str, Any]] = {}
    for event in process.events(name):
        if time_of(event) >= at and event["partition"] in partitions:
            first.setdefault(event["partition"], event)
    return first
