"""Makes calls into a client library in a thread that can be abandoned, because a call may never return.

librdkafka promises to bound its calls, but some have been seen to hang after a broker died. So the loop's own thread
makes none of the calls that a transaction needs.
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
    """One thread that makes calls in order. It is a daemon, so a call that hangs does not keep the process alive."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """The call's future. If the call takes longer than its `result(seconds)` waits, the call itself goes on."""
        future: Future[T] = Future()
        self._jobs.put((call, future))  # type: ignore[arg-type]
        return future

    def close(self) -> None:
        """End the thread once all submitted calls have been made."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, future = job
            try:
                future.set_result(call())
            except BaseException as error:  # raised again by the future's result()
                future.set_exception(error)
            del job, call, future  # release what the call referred to now, not when the next call comes
