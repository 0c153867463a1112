"""Event time of records and the clock of a partition: no wall clock, no batch boundary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

HOUR_MS = 3_600_000
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999, as far as RFC 3339 goes


@dataclass(frozen=True, slots=True)
class EventTimes:
    """`times` (n,) int64 ms; `clock` (n,) int64 ms, the partition's time after each record; `future` records mended."""

    times: npt.NDArray[np.int64]
    clock: npt.NDArray[np.int64]
    future: int


def event_times(event: npt.NDArray[np.float64], record: npt.NDArray[np.int64], clock: int | None) -> EventTimes:
    """Event times of n records in offset order.

    `event` (n,) float64 ms, nan where the event names none: then the record's own timestamp counts. An event time more
    than an hour after its record's timestamp is a broken clock at the producer: the record's timestamp counts, and
    it is counted in `future`. `record` (n,) int64 ms, -1 where Kafka has none. `clock` is the partition's time
    before the first record, None on a fresh partition. One record moves the clock forward by an hour at most, and
    nothing moves it back.
    """
    stamped = record >= 0
    future = stamped & (event > record + HOUR_MS)
    unnamed = np.isnan(event) | future
    times = np.where(unnamed, record, np.clip(np.nan_to_num(event), 0.0, _LATEST_MS)).astype(np.int64)
    if clock is None:
        clock = int(times[0]) if len(times) else 0
    lost = unnamed & ~stamped
    if lost.any():
        times[lost] = clock
    running = np.maximum.accumulate(np.concatenate(([clock], times)))
    if (times > running[:-1] + HOUR_MS).any():
        running = _bounded(clock, times)
    return EventTimes(times, running[1:], int(future.sum()))


def _bounded(clock: int, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The clock record by record, for the rare batch in which a record would move it by more than an hour."""
    running = np.empty(len(times) + 1, np.int64)
    running[0] = clock
    for i, time in enumerate(times.tolist()):
        clock = max(clock, min(time, clock + HOUR_MS))
        running[i + 1] = clock
    return running
