"""The worker and the trainer as processes of the demo, followed by their log."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, Any

import msgspec

from worker.errors import OffbeatError

_EVENTS = {"cold_start", "fine_tune", "switched", "challenger_rejected", "threshold_moved"}
_END_S = 20.0


class Processes:
    """Runs `offbeat run` and `offbeat trainer`; what they log goes to the file `log` and is parsed on the way.

    The trainer is not left to `run --with-trainer`, which gives it a lower priority than the worker: the demo's stream
    waits for the trainer, and on a busy machine would do so three times as long.
    """

    def __init__(self, config: Path, log: Path) -> None:
        self._events: deque[dict[str, Any]] = deque()
        self._tail: deque[str] = deque(maxlen=30)
        self._assigned = threading.Event()
        self._port: int | None = None
        self._log = log.open("wb")
        self._lock = threading.Lock()
        self._processes = {
            name: subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "worker.cli", command, "-c", str(config)],
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
            for name, command in {"worker": "run", "trainer": "trainer"}.items()
        }
        self._readers = [
            threading.Thread(target=self._read_log, args=(process.stderr,), daemon=True)
            for process in self._processes.values()
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in self._readers:
            reader.join(_END_S)
        self._log.close()

    @property
    def page(self) -> str | None:
        """The address of the worker's status page; None before it listens."""
        return None if self._port is None else f"http://127.0.0.1:{self._port}/"

    @property
    def alive(self) -> bool:
        return all(process.poll() is None for process in self._processes.values())

    def _read_log(self, lines: IO[bytes]) -> None:
        for line in lines:
            with self._lock:
                self._log.write(line)
                self._log.flush()
                self._tail.append(line.decode("utf-8", "replace").rstrip())
            try:
                event = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if isinstance(event, dict):
                self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        name = event.get("event")
        if name in _EVENTS:
            self._events.append(event)
        elif name == "listening":
            self._port = event["port"]
        elif name == "first_start":
            self._assigned.set()

    def await_assignment(self, seconds: float) -> None:
        """Wait until the worker has its partitions. Raises OffbeatError if it dies or takes longer than `seconds`."""
        until = time.monotonic() + seconds
        while not self._assigned.wait(0.1):
            self.check()
            if time.monotonic() > until:
                raise OffbeatError(
                    f"no partition was assigned to the worker within {seconds:g} s:\n{self._last_lines()}"
                )

    def check(self) -> None:
        """Raise OffbeatError if the worker or the trainer has died."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise OffbeatError(f"the {name} exited with code {process.returncode}:\n{self._last_lines()}")

    def new_log_events(self) -> list[dict[str, Any]]:
        return [self._events.popleft() for _ in range(len(self._events))]

    def _last_lines(self) -> str:
        with self._lock:
            return "\n".join(self._tail)
