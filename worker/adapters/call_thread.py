"""Calls into a client library that may never return, made in a thread that can be given up.

librdkafka bounds its calls, yet after a broker's death some have been seen to stay: the loop's own thread makes none of
those that a transaction needs.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
_Job = tuple[Callable[[], object], "Future[object]"]


class CallThread:
    """One thread that makes calls in order. A daemon: one that stays in a call does not keep the process."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Its `result(seconds)` raises TimeoutError where the call takes longer; the call itself goes on."""
        future: Future[T] = Future()
        self._jobs.put((call, future))  # type: ignore[arg-type]
        return future

    def close(self) -> None:
        """No further calls; those submitted are still made."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, future = job
            try:
                future.set_result(call())
            except BaseException as error:  # whoever asks for the result gets it
                future.set_exception(error)
            del job, call, future  # what a call held is let go now, not at the next one
