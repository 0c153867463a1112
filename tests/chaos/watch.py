"""Whether every partition's commits follow the input, and since when.

A partition is late while its oldest uncommitted record was acknowledged more than `LATE_S` ago. A fault's blind time
ends when the last partition stops being late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.chaos.inflow import Inflow

LATE_S = 2.0
CALM_S = 3.0
_EVERY_S = 0.2
_ANSWER_S = 2.0
_LOOK_EVERY_S = 5.0


class Watch:
    """Asks for the group's committed offsets all the while, without joining it."""

    def __init__(self, bootstrap: str, group: str, topic: str, inflow: Inflow) -> None:
        # A consumer rather than an admin client: librdkafka's listing of offsets can take the process with it while a
        # coordinator moves. read_uncommitted, since a pending transaction is to show as lateness, not as a time-out.
        self._asker = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": group, "isolation.level": "read_uncommitted",
             "enable.auto.commit": False}
        )  # fmt: skip
        self._inflow = inflow
        self._asked = [TopicPartition(topic, p) for p in range(len(inflow.ends()))]
        self._stopping = threading.Event()
        self.committed = [0] * len(self._asked)
        self.last_late = 0.0
        self.last_answer = 0.0
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(10)
        self._asker.close()

    def await_calm(self, since: float, meanwhile: Callable[[], None], seconds: float = 240.0) -> None:
        """Until nothing has been late for `CALM_S`, counted from `since` at the earliest; `meanwhile` now and then."""
        deadline, next_look = time.monotonic() + seconds, time.monotonic()
        while True:
            calm_from = max(self.last_late, since)
            if self.last_answer > calm_from + CALM_S:
                return
            assert time.monotonic() < deadline, f"still late {seconds:.0f} s after the fault: {self.behind()}"
            if time.monotonic() >= next_look:
                meanwhile()
                next_look = time.monotonic() + _LOOK_EVERY_S
            time.sleep(0.1)

    def await_all(self, ends: list[int], seconds: float = 120.0) -> None:
        """Until everything up to `ends` is committed."""
        deadline = time.monotonic() + seconds
        while self.committed != ends:
            assert time.monotonic() < deadline, f"committed {self.committed} of {ends}"
            time.sleep(0.05)

    def blind(self, since: float) -> float:
        """Seconds from `since` until nothing was late any more; 0 where nothing was."""
        return max(self.last_late - since, 0.0)

    def behind(self) -> list[int]:
        """Uncommitted records per partition."""
        return [end - done for end, done in zip(self._inflow.ends(), self.committed, strict=True)]

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            try:
                answers = self._asker.committed(self._asked, _ANSWER_S)
            except KafkaException:
                continue  # the coordinator is away; the next answer shows what was late meanwhile
            now = time.monotonic()
            self.committed = [max(answer.offset, 0) for answer in answers]
            if self._late(now):
                self.last_late = now
            self.last_answer = now

    def _late(self, now: float) -> bool:
        times = self._inflow.acknowledged
        return any(done < len(times[p]) and now - times[p][done] > LATE_S for p, done in enumerate(self.committed))
