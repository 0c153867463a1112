"""A real Redis for the tests."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from tests.services.process import await_answer, free_port, needed, spawn


class RedisServer:
    """One redis-server; a test may stop and start it. `kept`: what it held is there again when it is started again."""

    def __init__(self, folder: Path, *, kept: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self._folder = folder
        self._log = folder / "redis.log"
        self._command = [needed("redis-server", "redis-server"), "--port", str(self.port), "--bind", "127.0.0.1",
                         "--save", "", "--appendonly", "yes" if kept else "no", "--dir", str(folder)]  # fmt: skip
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        self._process = spawn(self._command, self._log)
        await_answer(self._answers, self._process, "redis-server", self._log)

    def stop(self) -> None:
        """Without `kept`, what it held is gone."""
        self._process.terminate()
        self._process.wait(10)

    def kill9(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def forget(self) -> None:
        """While it is stopped: what it kept is gone."""
        shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
