"""The input of a run: events with known anomalies, bad records and tombstones, produced without a pause.

The producer is idempotent and outlasts the death of any broker. Only the log at the end counts, which both runs read:
a broker that dies may acknowledge a record under another offset than the record has afterwards.
"""

from __future__ import annotations

import json
import threading
import time

import numpy as np
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from tests.benchmarks.poison import bad
from tests.scenarios.stream import anomalous, normal

ANOMALOUS, BAD, TOMBSTONE = 0.02, 0.01, 0.002
STEP_MS = 1_000
"""Event time between two records. It passes faster than real time, so that incidents close within a run."""
_TICK_S = 0.05
_PAST_MS = 20 * 86_400_000


class Inflow:
    """Produces `rate` records a second, round robin over the partitions."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, seed: int, rate: int) -> None:
        self._topic = topic
        self._rate = rate
        self._rng = np.random.default_rng(seed)
        self._start_ms = time.time_ns() // 1_000_000 - _PAST_MS
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.timeout.ms": 600_000,
                "message.max.bytes": 2_000_000,
            }
        )
        self._bootstrap = bootstrap
        self._sent = self._acknowledged = 0
        self._clocks: list[list[int]] = [[] for _ in range(partitions)]
        self.acknowledged: list[list[float]] = [[] for _ in range(partitions)]
        self.failed: str | None = None
        self._flowing = threading.Event()
        self._idle = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="inflow", daemon=True)
        self._thread.start()

    def resume(self) -> None:
        self._idle.clear()
        self._flowing.set()

    def pause(self, seconds: float = 120.0) -> list[int]:
        """Stop, and wait until everything is acknowledged; returns the ends of the log."""
        self._flowing.clear()
        deadline = time.monotonic() + seconds
        assert self._idle.wait(seconds), "the input's thread did not pause"
        while self._acknowledged < self._sent:
            assert self.failed is None, self.failed
            assert time.monotonic() < deadline, f"{self._acknowledged} of {self._sent} records acknowledged"
            time.sleep(0.02)
        consumer = Consumer({"bootstrap.servers": self._bootstrap, "group.id": "inflow"})
        parts = [TopicPartition(self._topic, p) for p in range(len(self._clocks))]
        ends = [consumer.get_watermark_offsets(part, 10)[1] for part in parts]
        consumer.close()
        return ends

    def stop(self) -> None:
        self._stopping = True
        self._flowing.set()
        self._thread.join(10)

    def ends(self) -> list[int]:
        """The end of each partition, as far as records were acknowledged."""
        return [len(times) for times in self.acknowledged]

    def _run(self) -> None:
        begun, before = time.monotonic(), 0
        while not self._stopping:
            if not self._flowing.is_set():
                self._idle.set()
                self._producer.poll(_TICK_S)
                begun, before = time.monotonic(), self._sent
                continue
            due = before + int((time.monotonic() - begun) * self._rate)
            while self._sent < due:
                self._send()
            self._producer.poll(_TICK_S)

    def _send(self) -> None:
        i, rng = self._sent, self._rng
        partition = i % len(self._clocks)
        clocks = self._clocks[partition]
        draw = rng.random()
        value: bytes | None
        if draw < BAD + TOMBSTONE:
            value = bad(rng, i) if draw < BAD else None
            clocks.append(clocks[-1] if clocks else 0)
        else:
            clocks.append(self._start_ms + i * STEP_MS)
            event = (anomalous if draw > 1 - ANOMALOUS else normal)(rng, i)
            value = json.dumps({**event, "ts": clocks[-1]}).encode()
        self._producer.produce(self._topic, value, b"k", partition, on_delivery=self._delivered)
        self._sent += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        self._acknowledged += 1
        if error is not None or partition is None or offset is None:
            self.failed = f"a record of the input was not written: {error}"
            return
        times = self.acknowledged[partition]
        times += [time.monotonic()] * (offset + 1 - len(times))
