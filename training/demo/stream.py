"""Plays a table onto a topic in row order and at a given rate.

The player waits for the trainer, as `pace` says, and for the worker before the embedded broker, which keeps only the
newest records, would drop any.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from training.demo.pace import Pace
from training.demo.services import PARTITIONS
from training.tables.json_records import build_event
from training.tables.table import Table
from worker.adapters.kafka_plain_producer import PlainProducer

_MAX_BYTES_AHEAD = 3_500_000
"""How far the player may run ahead of the worker, because the embedded broker keeps about 5 MB of a partition."""
_MAX_ROWS_AHEAD = 12_000
_TICK_S = 0.02
_CATCH_UP_S = 0.5
"""How much of a wait is made up for afterwards: a burst would be scored by one version of the model."""


class Player:
    """A thread that produces all rows to one partition, which keeps them in order.

    `sent[partition][offset]` is the row of each record. The caller sets `scored` to the number of rows scored so far.
    """

    def __init__(self, bootstrap: str, topic: str, table: Table, rate: float, pace: Pace) -> None:
        self._producer = PlainProducer(bootstrap, {"linger.ms": 5, "log_level": 3})
        self._topic = topic
        self._table = table
        self._rate = rate
        self._pace = pace
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
        due = time.monotonic()
        for row, value in enumerate(_encode_rows(self._table)):
            while self._must_wait(due):
                if self._stop.is_set():
                    return
                self._producer.poll(_TICK_S)
            if self._stop.is_set():
                break
            self.sent[0].append(row)
            self._producer.produce(self._topic, value, 0)
            self.rows += 1
            self.bytes += len(value)
            due = max(due, time.monotonic() - _CATCH_UP_S) + (1.0 / self._rate if self._rate else 0.0)
        self._producer.flush(30.0)
        self.finished.set()

    def _must_wait(self, due: float) -> bool:
        now = time.monotonic()
        return not self._pace.may_send(self.rows, now) or (self._rate > 0 and now < due) or self._too_far_ahead()

    def _too_far_ahead(self) -> bool:
        waiting = self.rows - self.scored
        return waiting > _MAX_ROWS_AHEAD or waiting * (self.bytes / max(self.rows, 1)) > _MAX_BYTES_AHEAD


def _encode_rows(table: Table) -> Iterator[bytes]:
    names = list(table.columns)
    for row in zip(*table.columns.values(), strict=True):
        yield msgspec.json.encode(build_event(names, [_json_value(value) for value in row]))


def _json_value(value: Any) -> Any:
    """Convert a value to one that JSON has. NaN and infinities, which it lacks, become missing values."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
