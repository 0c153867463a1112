"""Observes whether the commits of every partition keep up with the input, and since when.

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
    """Queries the group's committed offsets several times a second, without joining it."""

    def __init__(self, bootstrap: str, group: str, topic: str, inflow: Inflow) -> None:
        # A consumer and not an admin client: librdkafka's list of offsets may crash the process while a coordinator
        # moves. read_uncommitted, because a pending transaction must show as lateness, not as a timeout.
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "isolation.level": "read_uncommitted",
                "enable.auto.commit": False,
            }
        )
        self._inflow = inflow
        self._parts = [TopicPartition(topic, p) for p in range(len(inflow.ends()))]
        self._stopping = threading.Event()
        self.committed = [0] * len(self._parts)
        self.last_late = 0.0
        self.last_query = 0.0
        self.last_answer = 0.0
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(10)
        self._consumer.close()

    def await_calm(self, since: float, meanwhile: Callable[[], None], seconds: float = 240.0) -> None:
        """Wait until nothing has been late for `CALM_S` after `since`; calls `meanwhile` every few seconds."""
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

    def await_answer(self, seconds: float = 60.0) -> None:
        """Wait for the answer to a query that begins after this call."""
        called, deadline = time.monotonic(), time.monotonic() + seconds
        while self.last_query <= called:
            assert time.monotonic() < deadline, "Kafka does not answer"
            time.sleep(0.05)

    def await_all(self, ends: list[int], seconds: float = 120.0) -> None:
        """Wait until everything up to `ends` is committed."""
        deadline = time.monotonic() + seconds
        while self.committed != ends:
            assert time.monotonic() < deadline, f"committed {self.committed} of {ends}"
            time.sleep(0.05)

    def blind(self, since: float) -> float:
        """Seconds from `since` until nothing was late any more; 0 if nothing was."""
        return max(self.last_late - since, 0.0)

    def behind(self) -> list[int]:
        """Uncommitted records per partition."""
        return [end - done for end, done in zip(self._inflow.ends(), self.committed, strict=True)]

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            queried = time.monotonic()
            try:
                answers = self._consumer.committed(self._parts, _ANSWER_S)
            except KafkaException:
                continue  # the coordinator is away; the next answer shows whether something was late meanwhile
            now = time.monotonic()
            self.committed = [max(answer.offset, 0) for answer in answers]
            if self._late(now):
                self.last_late = now
            self.last_query, self.last_answer = queried, now

    def _late(self, now: float) -> bool:
        times = self._inflow.acknowledged
        return any(done < len(times[p]) and now - times[p][done] > LATE_S for p, done in enumerate(self.committed))
