"""Measures when alerts become readable: a `read_committed` reader of the alerts topic, in a thread of its own."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tests.benchmarks.flow import PARTITIONS
from tests.scenarios.stream import Stream


class Arrival(NamedTuple):
    """An alert that was read `at` this wall-clock second, on this partition of the alerts topic.

    `sent` is when its event was produced (seconds), and `wild` says whether the event is a known anomaly.
    """

    at: float
    partition: int
    sent: float
    wild: bool


class Arrivals:
    """Reads from the first alert on until it is stopped. Closing alerts do not count: they have no event."""

    def __init__(self, setup: Stream) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": setup.kafka.bootstrap,
                "group.id": uuid.uuid4().hex,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 10,
            }
        )
        topic = setup.settings.kafka.alerts
        self._consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
        self._stopping = threading.Event()
        self.read: list[Arrival] = []
        self._thread = threading.Thread(target=self._run, name="arrivals", daemon=True)
        self._thread.start()

    def await_quiet(self, seconds: float = 2.0) -> None:
        """Wait until no alert has come for this long."""
        began = time.time()
        while time.time() - max(self.read[-1].at if self.read else 0.0, began) < seconds:
            time.sleep(0.05)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(10)
        self._consumer.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            message = self._consumer.poll(0.1)
            at = time.time()
            if message is None or message.error() is not None:
                continue
            alert = json.loads(message.value() or b"")
            if alert["status"] != "closed":
                event = alert["event"]
                self.read.append(Arrival(at, message.partition() or 0, event.get("sent", 0) / 1e6, "wild" in event))
