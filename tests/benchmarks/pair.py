"""Two workers as processes, of which one is killed, and what their logs say of it."""

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
    """Workers of one group; one is killed, the other goes on."""

    def __init__(self, made: Stream, folder: Path) -> None:
        self._made, self._folder = made, folder
        self.workers: list[WorkerProcess] = []

    def start(self, number: int) -> WorkerProcess:
        order = self._order(number)
        order.unlink(missing_ok=True)
        self.workers.append(WorkerProcess(self._made, f"pod-{number}", self._folder, (f"@{order}", 1)))
        return self.workers[-1]

    def _order(self, number: int | str) -> Path:
        """Written, it tells that worker at which point to die."""
        return self._folder / f"pod-{number}.order"

    def complete(self) -> None:
        """Start what is missing and wait until each has two partitions."""
        present = {number_of(process) for process in self.workers}
        for missing in {0, 1} - present:
            self.start(missing)
        deadline = time.monotonic() + 120
        while any(len(held(process)) != PARTITIONS // 2 for process in self.workers):
            assert time.monotonic() < deadline, [held(process) for process in self.workers]
            time.sleep(0.2)

    def kill(self, point: str) -> tuple[float, set[int]]:
        """The older one; wall clock of its death, and what it held."""
        victim = self.workers.pop(0)
        lost = held(victim)
        if point == "anywhere":
            victim.signal(signal.SIGKILL)
        else:
            half = self._folder / "half.order"
            half.write_text(point)
            half.rename(self._order(number_of(victim)))
        assert victim.wait() == -signal.SIGKILL, victim.tail()
        return time.time(), lost

    def end(self) -> None:
        for process in self.workers:
            process.kill9()


def number_of(process: WorkerProcess) -> int:
    return int(process.log.name.rsplit("-", 2)[1])


def held(process: WorkerProcess) -> set[int]:
    changes = process.events("assigned") + process.events("released")
    last = {change["partition"]: change["event"] for change in sorted(changes, key=stamp)}
    return {partition for partition, event in last.items() if event == "assigned"}


def stamp(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def first_after(process: WorkerProcess, name: str, at: float, partitions: set[int]) -> dict[int, dict[str, Any]]:
    """By partition the first such line of the log after a moment."""
    found: dict[int, dict[str, Any]] = {}
    for event in process.events(name):
        if stamp(event) >= at and event["partition"] in partitions:
            found.setdefault(event["partition"], event)
    return found
