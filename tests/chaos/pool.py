"""The replicas of the worker: processes that keep their names, as the pods of a StatefulSet do."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from tests.scenarios.processes import WorkerProcess
from tests.scenarios.stream import Stream


class Pool:
    """Up to `most` replicas of one stream's worker; `ways[i]` is the configuration of replica i.

    A replica can be ordered to die at a named point (tests/scenarios/dying.py). If it ends without such an order, that
    is noted in `surprises`, and it is started again, as Kubernetes would do.
    """

    def __init__(self, ways: list[Stream], folder: Path, size: int) -> None:
        self._ways = ways
        self._folder = folder
        self._processes: dict[int, WorkerProcess] = {}
        self.most = len(ways)
        self.size = size
        self.surprises: list[str] = []
        self.fill()

    def __getitem__(self, replica: int) -> WorkerProcess:
        return self._processes[replica]

    @property
    def running(self) -> list[int]:
        return sorted(self._processes)

    def fill(self) -> None:
        """Start the replicas that are missing at the present size."""
        for replica in range(self.size):
            if replica not in self._processes:
                self.start(replica)

    def start(self, replica: int) -> WorkerProcess:
        self._order(replica).unlink(missing_ok=True)
        dies = (f"@{self._order(replica)}", 1)
        process = WorkerProcess(self._ways[replica], f"pod-{replica}", self._folder, dies)
        self._processes[replica] = process
        return process

    def pick(self, rng: random.Random) -> int:
        return rng.choice(self.running)

    def order(self, replica: int, point: str) -> None:
        """Order a replica to die when it next reaches `point`, or with `<point> SIGSTOP` to freeze there."""
        order = self._order(replica)
        draft = order.with_suffix(".draft")
        draft.write_text(point)
        draft.rename(order)

    def await_death(self, replica: int, seconds: float = 60.0) -> float:
        """Wait until the replica has died as ordered; returns the moment of its death."""
        process = self._processes.pop(replica)
        code = process.wait(seconds)
        at = time.monotonic()
        if code != -signal.SIGKILL:
            self.surprises.append(f"{process.log.name} exited with {code}")
        return at

    def kill9(self, replica: int) -> None:
        self._processes.pop(replica).kill9()

    def stop(self, *replicas: int) -> None:
        """Send all of them SIGTERM, as soon as they handle it, and wait; their exit codes must be 0."""
        for replica in replicas:
            self._processes[replica].wait_for("starting")
            self._processes[replica].signal(signal.SIGTERM)
        for replica in replicas:
            process = self._processes.pop(replica)
            if code := process.wait(90):
                self.surprises.append(f"{process.log.name} exited with {code} after SIGTERM")

    def await_live(self, seconds: float = 120.0) -> None:
        """Wait until each replica has had a live partition."""
        deadline = time.monotonic() + seconds
        while any(not self._placed(replica) for replica in self.running):
            self.restart_fallen()
            assert time.monotonic() < deadline, "a replica got no partition"
            time.sleep(0.2)

    def _placed(self, replica: int) -> bool:
        """Whether a partition has gone live: after catching up, or from its first start."""
        process = self._processes[replica]
        return bool(process.events("live") or process.events("first_start"))

    def restart_fallen(self) -> None:
        """Start replicas again that have ended, or whose liveness probe fails."""
        for replica, process in list(self._processes.items()):
            code = process.process.poll()
            if code is not None:
                self.surprises.append(f"{process.log.name} exited with {code}: {process.tail()[-300:]}")
                process.wait()
                self.start(replica)
            elif not _passes_liveness(process):
                self.surprises.append(f"the liveness probe of {process.log.name} failed: {process.tail()[-300:]}")
                process.kill9()
                self.start(replica)

    def end(self) -> None:
        for replica in self.running:
            self.kill9(replica)

    def _order(self, replica: int) -> Path:
        return self._folder / f"pod-{replica}.order"


def _passes_liveness(process: WorkerProcess) -> bool:
    """The answer to Kubernetes' liveness probe; True while the process does not listen yet."""
    if not process.events("listening"):
        return True
    try:
        return process.probe("livez") == 200
    except OSError:
        return False
