"""Event times as events write them, the event time of records, and the clock of a partition.

Nothing here depends on the wall clock or on how records are cut into batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

HOUR_MS = 3_600_000
LATEST_MS = 253_402_300_799_999
"""The end of the year 9999, the last one that RFC 3339 can write."""
SECONDS_BELOW = 1e11
"""A number below this is in seconds since 1970, any other in milliseconds: 1e11 s is the year 5138, 1e11 ms is March
1973.
"""


@dataclass(frozen=True, slots=True)
class EventTimes:
    """`times` (n,) int64 ms; `clock` (n,) int64 ms, the partition's time after each record; `future`, the number of
    records whose event time was in the future and was replaced.
    """

    times: npt.NDArray[np.int64]
    clock: npt.NDArray[np.int64]
    future: int


def milliseconds(value: str | float) -> float:
    """Milliseconds since 1970 of ISO 8601 text (UTC unless it names a zone) or of a number.

    Raises ValueError with the reason, which becomes the reason of a reject.
    """
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("not a time in ISO 8601") from None
        stamp = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000.0
    else:
        if not math.isfinite(value):
            raise ValueError("not a finite time")
        stamp = value * 1000.0 if abs(value) < SECONDS_BELOW else value
    if not -LATEST_MS <= stamp <= LATEST_MS:
        raise ValueError("a time outside the years 0 to 9999")
    return stamp


def milliseconds_of(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """`milliseconds` of numbers (n,), nan for nan; and a mask (n,), False for the numbers that it would refuse."""
    stamps = values * np.where(np.abs(values) < SECONDS_BELOW, 1000.0, 1.0)
    return stamps, ~(np.abs(stamps) > LATEST_MS)


def event_times(event: npt.NDArray[np.float64], record: npt.NDArray[np.int64], clock: int | None) -> EventTimes:
    """Event times of n records in offset order, and the partition's clock after each.

    `event` (n,) float64 ms is nan if the event names no time: then the record's own timestamp is its event time. An
    event time more than an hour after its record's timestamp means that the producer's clock is wrong: the record's
    timestamp replaces it, and it is counted in `future`. `record` (n,) int64 ms is -1 if Kafka has no timestamp.
    `clock` is the partition's time before the first record, None on a fresh partition. One record moves the clock
    forward by an hour at most, and nothing moves it back.
    """
    stamped = record >= 0
    future = stamped & (event > record + HOUR_MS)
    unnamed = np.isnan(event) | future
    times = np.where(unnamed, record, np.clip(np.nan_to_num(event), 0.0, LATEST_MS)).astype(np.int64)
    if clock is None:
        clock = int(times[0]) if len(times) else 0
    timeless = unnamed & ~stamped
    if timeless.any():
        times[timeless] = clock
    running = np.maximum.accumulate(np.concatenate(([clock], times)))
    if (times > running[:-1] + HOUR_MS).any():
        running = _bounded_clock(clock, times)
    return EventTimes(times, running[1:], int(future.sum()))


def _bounded_clock(clock: int, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The clock record by record, for the rare batch in which a record would move it by more than an hour."""
    running = np.empty(len(times) + 1, np.int64)
    running[0] = clock
    for i, time in enumerate(times.tolist()):
        clock = max(clock, min(time, clock + HOUR_MS))
        running[i + 1] = clock
    return running
