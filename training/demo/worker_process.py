"""The worker and its trainer as processes of the demo, followed by their log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from worker.errors import OffbeatError

_EVENTS = {"cold_start", "fine_tune", "switched", "challenger_rejected", "threshold_moved"}


class WorkerProcess:
    """A process that runs `offbeat run --with-trainer`; its stderr goes to the file `log` and is parsed on the way."""

    def __init__(self, config: Path, log: Path) -> None:
        command = [sys.executable, "-m", "worker.cli", "run", "-c", str(config), "--with-trainer"]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env={**os.environ}
        )
        self._log = log
        self._events: deque[dict[str, Any]] = deque()
        self._tail: deque[str] = deque(maxlen=30)
        self._assigned = threading.Event()
        self._port: int | None = None
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._reader.join(5.0)

    @property
    def page(self) -> str | None:
        """The address of the worker's status page; None before it listens."""
        return None if self._port is None else f"http://127.0.0.1:{self._port}/"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with self._log.open("wb") as file:
            for line in self._process.stderr:
                file.write(line)
                file.flush()
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
                log = "\n".join(self._tail)
                raise OffbeatError(f"no partition was assigned to the worker within {seconds:g} s:\n{log}")

    def check(self) -> None:
        """Raise OffbeatError if the worker has died."""
        if not self.alive:
            raise OffbeatError(f"the worker exited with code {self._process.returncode}:\n" + "\n".join(self._tail))

    def new_log_events(self) -> list[dict[str, Any]]:
        return [self._events.popleft() for _ in range(len(self._events))]
