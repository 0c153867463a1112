"""Signals and the stop token. A handler only sets a flag: one that raised inside `consume()` would lose a whole
batch.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

import structlog

log = structlog.get_logger()


class StopToken:
    """Cooperative stop; `reason` is the signal's name or what the caller gave."""

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
    """SIGTERM and SIGINT ask for a drain; SIGINT too, since Python's own handler raises wherever the loop happens to
    be.
    """

    def handle(number: int, _: FrameType | None) -> None:
        stop.set(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
