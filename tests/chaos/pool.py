"""The worker's replicas: processes with names that stay, as a StatefulSet's pods do."""

from __future__ import annotations

import random
import signal
import time
import urllib.request
from pathlib import Path

from tests.scenarios.processes import WorkerProcess
from tests.scenarios.stream import Stream


class Pool:
    """Up to `most` replicas of one stream's worker; `ways[i]` is the configuration that replica i reaches it by.

    Each may be told to die at a named point (tests/scenarios/dying.py). One that ends without having been told to is
    noted in `surprises` and started again, as Kubernetes would.
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
        """Start what is missing of the present size."""
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
        """It is to die, or with `<point> SIGSTOP` to freeze, when it next gets to `point`."""
        order = self._order(replica)
        half = order.with_suffix(".half")
        half.write_text(point)
        half.rename(order)

    def await_death(self, replica: int, seconds: float = 60.0) -> float:
        """The moment it died at the point that it was ordered to."""
        process = self._processes.pop(replica)
        code = process.wait(seconds)
        at = time.monotonic()
        if code != -signal.SIGKILL:
            self.surprises.append(f"{process.log.name} exited with {code}")
        return at

    def kill9(self, replica: int) -> None:
        self._processes.pop(replica).kill9()

    def stop(self, *replicas: int) -> None:
        """SIGTERM to all of them, once they have begun to listen to it, then wait; the exit codes have to be 0."""
        for replica in replicas:
            self._processes[replica].wait_for("starting")
            self._processes[replica].signal(signal.SIGTERM)
        for replica in replicas:
            process = self._processes.pop(replica)
            if code := process.wait(90):
                self.surprises.append(f"{process.log.name} exited with {code} after SIGTERM")

    def await_live(self, seconds: float = 120.0) -> None:
        """Until each replica has had a live partition."""
        deadline = time.monotonic() + seconds
        while any(not self._placed(replica) for replica in self.running):
            self.restart_fallen()
            assert time.monotonic() < deadline, "a replica got no partition"
            time.sleep(0.2)

    def _placed(self, replica: int) -> bool:
        """With a history a partition goes live after catching up, without one it begins."""
        process = self._processes[replica]
        return bool(process.events("live") or process.events("first_start"))

    def restart_fallen(self) -> None:
        for replica, process in list(self._processes.items()):
            code = process.process.poll()
            if code is not None:
                self.surprises.append(f"{process.log.name} exited with {code}: {process.tail()[-300:]}")
                process.wait()
                self.start(replica)
            elif not _lives(process):
                self.surprises.append(f"{process.log.name} was found dead by its probe: {process.tail()[-300:]}")
                process.kill9()
                self.start(replica)

    def end(self) -> None:
        for replica in self.running:
            self.kill9(replica)

    def _order(self, replica: int) -> Path:
        return self._folder / f"pod-{replica}.order"


def _lives(process: WorkerProcess) -> bool:
    """What Kubernetes asks; True while it does not listen yet."""
    listening = process.events("listening")
    if not listening:
        return True
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{listening[-1]['port']}/livez", timeout=5).close()
    except OSError:
        return False
    return True
