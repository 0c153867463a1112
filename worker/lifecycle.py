"""Signals and the stop token.

A signal handler only sets a flag: an exception raised inside `consume()` would lose a whole batch.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

import structlog

log = structlog.get_logger()


class StopToken:
    """A request to stop, which the threads poll. `reason` is the first caller's, such as the signal's name."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

    def set(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)


def stop_on_signals(stop: StopToken) -> None:
    """Let SIGTERM and SIGINT request a drain. Python's own SIGINT handler would raise anywhere in the loop."""

    def handle(number: int, _: FrameType | None) -> None:
        stop.set(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
