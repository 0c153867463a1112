"""The trainer as a child process of the worker."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import structlog

from worker.lifecycle import StopToken

_PAUSE_S = 5.0
_END_S = 15.0

log = structlog.get_logger()


class TrainerProcess:
    """Runs at a lower priority than the worker, and is restarted after a pause if it ends."""

    def __init__(self, command: list[str], stop: StopToken) -> None:
        """`command` holds the arguments of `offbeat`."""
        self._command = command
        self._stop = stop
        self._process = self._start()
        self._thread = threading.Thread(target=self._watch, name="trainer", daemon=True)
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "worker.cli", *self._command], preexec_fn=lambda: os.nice(5) and None
        )

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            code = self._process.poll()
            if code is not None:
                log.error("trainer_ended", code=code, again_in_seconds=_PAUSE_S)
                if self._stop.wait(_PAUSE_S):
                    return
                self._process = self._start()

    def stop(self) -> None:
        """End the trainer too; it is killed if it does not end within 15 seconds."""
        self._stop.set("worker stopped")
        self._thread.join(_PAUSE_S)
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
