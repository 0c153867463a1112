"""A real Redis for the tests."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.services.process import await_answer, free_port, needed, spawn


class RedisServer:
    """One redis-server without persistence; a test may stop and start it."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._log = folder / "redis.log"
        self._command = [needed("redis-server", "redis-server"), "--port", str(self._port), "--bind", "127.0.0.1",
                         "--save", "", "--appendonly", "no", "--dir", str(folder)]  # fmt: skip
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        self._process = spawn(self._command, self._log)
        await_answer(self._answers, self._process, "redis-server", self._log)

    def stop(self) -> None:
        """What it held is gone."""
        self._process.terminate()
        self._process.wait(10)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
