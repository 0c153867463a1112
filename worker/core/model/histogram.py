"""Log-linear integer histograms: deterministic, exactly mergeable and subtractable.

A bucket is the upper bits of a float32: 32 buckets per octave, each 2 to 3 % wide, from 2^-20 to 2^20 (the idea of the
HDR histogram, Tene 2012). No logarithm is computed, so the same value falls into the same bucket on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from worker.core.events.event_time import HOUR_MS

_SHIFT = 18  # keeps 5 of the 23 mantissa bits: 32 buckets per octave
_LOWEST = 2.0**-20
_OCTAVES = 40
BUCKETS = _OCTAVES * 32
RING_HOURS = 24
_FINE_BITS = 4
FINE = 1 << _FINE_BITS
_OFFSET = int(np.float32(_LOWEST).view(np.int32)) >> _SHIFT


def bucket_of(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """(n,) float32, none negative or nan, to (n,) int64 buckets; beyond the range, the first or the last bucket."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32) >> _SHIFT
    buckets: npt.NDArray[np.int64] = np.clip(bits - _OFFSET, 0, BUCKETS - 1).astype(np.int64)
    return buckets


def fine_bucket_of(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """As `bucket_of`, with each bucket cut into `FINE` (values (n,) to indices (n,) below BUCKETS * FINE)."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32) >> (_SHIFT - _FINE_BITS)
    fine: npt.NDArray[np.int64] = np.clip(bits - (_OFFSET << _FINE_BITS), 0, BUCKETS * FINE - 1).astype(np.int64)
    return fine


def fine_middles() -> npt.NDArray[np.float32]:
    """(BUCKETS * FINE,) float32: a value in the middle of each bucket of `fine_bucket_of`."""
    step = _SHIFT - _FINE_BITS
    bits = ((np.arange(BUCKETS * FINE, dtype=np.int64) + (_OFFSET << _FINE_BITS)) << step) + (1 << (step - 1))
    return bits.astype(np.int32).view(np.float32)


def count(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """(n,) float32 to (BUCKETS,) int64 counts. The counts of two sets add up to those of their union."""
    return np.bincount(bucket_of(values), minlength=BUCKETS)


def edges() -> npt.NDArray[np.float64]:
    """(BUCKETS + 1,) float64: bucket i holds the values in [edges[i], edges[i + 1])."""
    bits = (np.arange(BUCKETS + 1, dtype=np.int64) + _OFFSET) << _SHIFT
    return bits.astype(np.int32).view(np.float32).astype(np.float64)


@dataclass(slots=True)
class HistogramRing:
    """Histograms of live events' held-out p-values, one per hour of a partition's event-time clock.

    `hours` maps hours since 1970 to (BUCKETS,) int64 counts; it keeps the 24 latest hours that had events. All events
    are counted, flagged ones too: without them the share of small p-values would look too low, the threshold would
    fall, more events would be flagged and left out, and so on.
    """

    hours: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)

    def count(self, clock_ms: npt.NDArray[np.int64], buckets: npt.NDArray[np.int64]) -> None:
        """Count n >= 1 events: `clock_ms` (n,) int64, never falling, and the `buckets` (n,) int64 of their p-values."""
        slots = clock_ms // HOUR_MS
        for hour in np.unique(slots[[0, -1]] if slots[0] == slots[-1] else slots).tolist():
            inside = buckets if slots[0] == slots[-1] else buckets[slots == hour]
            counts = np.bincount(inside, minlength=BUCKETS)
            self.hours[hour] = self.hours[hour] + counts if hour in self.hours else counts
        for hour in sorted(self.hours)[:-RING_HOURS]:
            del self.hours[hour]

    def total(self) -> npt.NDArray[np.int64]:
        """(BUCKETS,) int64: the counts of all hours together."""
        return sum(self.hours.values(), np.zeros(BUCKETS, np.int64))

    @staticmethod
    def merge(rings: Iterable[HistogramRing]) -> HistogramRing:
        """The exact sum of several partitions' rings, hour by hour. It may span more than 24 hours."""
        hours: dict[int, npt.NDArray[np.int64]] = {}
        for ring in rings:
            for hour, counts in ring.hours.items():
                hours[hour] = hours[hour] + counts if hour in hours else counts
        return HistogramRing(hours)
