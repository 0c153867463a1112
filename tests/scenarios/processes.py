"""Workers as processes of their own, and waiting for what their group commits."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.scenarios.stream import Stream
from tests.services.forked import ForkedProcess
from worker.adapters.kafka_commits import GroupCommits
from worker.core.state.commit_metadata import EMPTY, CommitMetadata
from worker.ports.log import LogUnavailable


class WorkerProcess:
    """`offbeat run` as a process of its own, with its log.

    `dies` is a point of tests/scenarios/dying.py, and the number of the occasion at which the process dies there.
    """

    def __init__(
        self,
        stream: Stream,
        instance: str,
        folder: Path,
        dies: tuple[str, int] | None = None,
        *,
        trainer: bool = False,
    ) -> None:
        self.log = folder / f"{stream.settings.stream}-{instance}-{time.monotonic_ns()}.log"
        self.log.touch()
        module, *arguments = self._command(stream, dies)
        environment = {**os.environ, "OFFBEAT_INSTANCE": instance, "OMP_NUM_THREADS": "1"}
        self.process = ForkedProcess(module, [*arguments, *["--with-trainer"] * trainer], environment, self.log)

    @staticmethod
    def _command(stream: Stream, dies: tuple[str, int] | None) -> list[str]:
        if dies is not None:
            return ["tests.scenarios.dying", str(stream.path), dies[0], str(dies[1])]
        return ["worker.cli", "run", "-c", str(stream.path), "--log-level", "debug"]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log entries with this event name."""
        found = []
        for line in self.log.read_text("utf-8", "replace").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("event") == name:
                found.append(event)
        return found

    def wait_for(self, name: str, count: int = 1, seconds: float = 60.0) -> list[dict[str, Any]]:
        """Wait until the log has at least `count` entries with this event name, and return them."""
        deadline = time.monotonic() + seconds
        while len(found := self.events(name)) < count:
            assert self.process.poll() is None, f"ended with {self.process.poll()}:\n{self.tail()}"
            assert time.monotonic() < deadline, f"no {count} x {name!r} in {seconds} s:\n{self.tail()}"
            time.sleep(0.05)
        return found

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET to the worker's HTTP port, once it listens."""
        port = self.wait_for("listening")[-1]["port"]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", f"/{path}")
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body

    def probe(self, path: str) -> int:
        return self.get(path)[0]

    def await_version(self, version: int, seconds: float = 30.0) -> None:
        """Wait until this version is what the worker switches to before its next record."""
        deadline = time.monotonic() + seconds
        while (model := json.loads(self.get("api/status")[1])["model"]) is None or model["version"] != version:
            assert time.monotonic() < deadline, model
            time.sleep(0.05)

    def tail(self) -> str:
        return self.log.read_text("utf-8", "replace")[-4_000:]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """Send SIGTERM and wait; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds: float = 60.0) -> int:
        return self.process.wait(seconds)

    def kill9(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()


@contextmanager
def worker(
    stream: Stream, instance: str, folder: Path, dies: tuple[str, int] | None = None, *, trainer: bool = False
) -> Iterator[WorkerProcess]:
    process = WorkerProcess(stream, instance, folder, dies, trainer=trainer)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.kill9()


def committed(stream: Stream) -> int:
    """The sum of the group's committed offsets; 0 while the broker does not answer."""
    kafka = stream.settings.kafka
    try:
        commits = GroupCommits(kafka.bootstrap_servers, kafka.group, kafka.events, {}).read()
    except LogUnavailable:
        return 0
    return sum(commit.offset or 0 for commit in commits.values())


def await_committed(stream: Stream, records: int, *processes: WorkerProcess, seconds: float = 60.0) -> None:
    """Wait until the group has committed at least `records` records."""
    deadline = time.monotonic() + seconds
    while (now := committed(stream)) < records:
        for process in processes:
            assert process.process.poll() is None, f"ended with {process.process.poll()}:\n{process.tail()}"
        assert time.monotonic() < deadline, f"{now} of {records} committed:\n{processes[0].tail()}"
        time.sleep(0.1)


def await_named(stream: Stream, partitions: int = 2, seconds: float = 30.0) -> None:
    """Wait until every partition's stable commit names a snapshot that holds all the records up to it."""
    kafka, deadline = stream.settings.kafka, time.monotonic() + seconds
    commits = GroupCommits(kafka.bootstrap_servers, kafka.group, kafka.events, {})
    while True:
        committed = list(commits.read().values())
        bases = [CommitMetadata.decode(commit.metadata).bases[-1] for commit in committed]
        named = [
            base.snapshot != EMPTY and base.offset == commit.offset
            for base, commit in zip(bases, committed, strict=True)
        ]
        if len(named) == partitions and all(named):
            return
        assert time.monotonic() < deadline, bases
        time.sleep(0.1)
