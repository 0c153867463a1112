"""Plays a table onto a topic in row order, at a rate, never further ahead of the worker than the embedded broker can
hold.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
from confluent_kafka import Producer

from training.demo.services import PARTITIONS
from training.tables.json_records import build_event
from training.tables.table import Table

BYTES_AHEAD = 3_500_000
"""The embedded broker keeps about 5 MB of a partition."""
_MAX_AHEAD = 12_000
_TICK_S = 0.02


class Player:
    """A thread that produces, all to one partition, so that the order stays that of the capture.

    `sent[partition][offset]` is the row behind each record.
    """

    def __init__(self, bootstrap: str, topic: str, table: Table, rate: float) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "log_level": 3})
        self._topic = topic
        self._table = table
        self._rate = rate
        self.rows = 0
        self.bytes = 0
        self.scored = 0
        self.sent: list[list[int]] = [[] for _ in range(PARTITIONS)]
        self.finished = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="player", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10.0)

    def _play(self) -> None:
        began = time.monotonic()
        for row, value in enumerate(_values(self._table)):
            while self._ahead() or (self._rate and row > (time.monotonic() - began) * self._rate):
                if self._stop.is_set():
                    return
                self._producer.poll(_TICK_S)
            if self._stop.is_set():
                break
            self.sent[0].append(row)
            self._produce(value)
            self.rows += 1
            self.bytes += len(value)
        self._producer.flush(30.0)
        self.finished.set()

    def _ahead(self) -> bool:
        waiting = self.rows - self.scored
        return waiting > _MAX_AHEAD or waiting * (self.bytes / max(self.rows, 1)) > BYTES_AHEAD

    def _produce(self, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, partition=0)
                return
            except BufferError:
                self._producer.poll(_TICK_S)


def _values(table: Table) -> Iterator[bytes]:
    names = list(table.columns)
    for row in zip(*table.columns.values(), strict=True):
        yield msgspec.json.encode(build_event(names, [_plain(value) for value in row]))


def _plain(value: Any) -> Any:
    """JSON has no nan: a number that is none is a missing value."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
