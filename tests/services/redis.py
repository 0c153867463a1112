"""A real Redis for the tests."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.services.process import await_answer, free_port, require, spawn


class RedisServer:
    """One redis-server, which a test may stop and start. With `kept`, its data survives a restart."""

    def __init__(self, folder: Path, *, kept: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self._log = folder / "redis.log"
        self._command = [
            require("redis-server", "redis-server"),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes" if kept else "no",
            "--dir",
            str(folder),
        ]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        self._process = spawn(self._command, self._log)
        await_answer(self._answers, self._process, "redis-server", self._log)

    def stop(self) -> None:
        """Stop it. Without `kept`, its data is lost."""
        self._process.terminate()
        self._process.wait(10)

    def kill9(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
