"""A deterministic, exponentially biased reservoir sample of one partition's rows.

Each row draws its chance from a hash of (topic id, partition, offset), never from a generator with hidden state, and
a row's priority depends on its offset alone. So the sample after a prefix of the log is the same whatever the
batches were, and two samples of disjoint ranges merge by keeping the highest priorities.

How fast it forgets is paced by the versions (`pace`), since what is recent is what the next version learns from.

Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", Information Processing Letters 97(5),
2006: keep the k rows with the largest log-key; with weights 2^(offset / half_life) this is the biased reservoir of
Aggarwal, "On biased reservoir sampling in the presence of stream evolution", VLDB 2006.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.core.columns import Columns, from_bytes, to_bytes
from worker.core.spec import FeatureSpec

FLAGGED = np.uint8(1)
TRAINABLE = np.uint8(2)

BLOCK = 64
_QUARTER = -math.log(0.75)  # a standard exponential is below it with probability 1/4

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def partition_seed(topic_id: str, partition: int) -> np.uint64:
    """The 64-bit seed that keys every draw of one partition."""
    digest = hashlib.sha256(f"{topic_id}/{partition}".encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def draw_exponential(seed: np.uint64, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """One standard exponential variate per offset, (n,) float64, from splitmix64 (Steele et al., OOPSLA 2014)."""
    z = seed + (offsets.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    z ^= z >> np.uint64(31)
    uniform = ((z >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return -np.log(uniform)


def held_out(seed: np.uint64, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(n,) bool: rows that no version after the first is fitted on, so that all of them can be calibrated on them.

    A quarter of the stream, by whole blocks of `BLOCK` offsets: neighbours are alike, and single rows held out between
    rows that were learnt would look better than new ones will.
    """
    blocks = offsets // BLOCK
    held: npt.NDArray[np.bool_] = draw_exponential(seed ^ _GOLDEN, blocks) < _QUARTER
    return held


class Reservoir:
    """At most `capacity` rows; with `half_life` (in offsets) newer rows weigh more, without it all weigh the same."""

    def __init__(self, spec: FeatureSpec, capacity: int, half_life: float | None) -> None:
        self._spec = spec
        self.capacity = capacity
        self.half_life = half_life
        self._base, self._since = 0.0, 0
        self._floor = -math.inf
        self._waiting: list[tuple[npt.NDArray[Any], ...]] = []
        self._waiting_rows = 0
        self._waiting_columns: list[Columns] = []
        none = np.empty(0, np.int64)
        self.offsets = none
        self.times = none
        self.marks = np.empty(0, np.uint8)
        self.columns = Columns.empty(spec)
        self._priority = np.empty(0, np.float64)

    def pace(self, half_life: float, offset: int) -> None:
        """From `offset` on a row's weight halves every `half_life` offsets."""
        self.settle()
        self._base = float(self._ages(np.array([offset], np.int64))[0])
        self._since, self.half_life = offset, half_life

    def _ages(self, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(n,) the log of the rows' weights: it grows with the offset."""
        if self.half_life is None:
            return np.zeros(len(offsets))
        rate = math.log(2.0) / self.half_life
        return np.asarray(self._base + rate * (offsets - self._since), np.float64)

    def best(self, count: int) -> npt.NDArray[np.intp]:
        """Places of the `count` rows of highest priority, in offset order: a smaller reservoir of the same stream."""
        self.settle()
        if len(self.offsets) <= count:
            return np.arange(len(self.offsets))
        return np.sort(np.lexsort((self.offsets, -self._priority))[:count])

    def offer(
        self,
        draws: npt.NDArray[np.float64],
        offsets: npt.NDArray[np.int64],
        times: npt.NDArray[np.int64],
        marks: npt.NDArray[np.uint8],
        columns: Columns,
    ) -> None:
        """Offer n rows in offset order: `draws` (n,) from `draw_exponential`, `times` (n,) event time in ms."""
        priority = self._ages(offsets) - np.log(draws)
        chosen = np.flatnonzero(priority > self._floor)
        if not len(chosen):
            return
        self._waiting.append((priority[chosen], offsets[chosen], times[chosen], marks[chosen]))
        self._waiting_columns.append(columns.take(chosen))
        self._waiting_rows += len(chosen)
        if self._waiting_rows >= max(self.capacity, 1024):
            self.settle()

    def settle(self) -> None:
        """Fold the waiting rows in; afterwards the public arrays are exact, in offset order."""
        if not self._waiting:
            return
        parts = [(self._priority, self.offsets, self.times, self.marks), *self._waiting]
        priority, offsets, times, marks = (np.concatenate(column) for column in zip(*parts, strict=True))
        columns = Columns.concat([self.columns, *self._waiting_columns])
        if len(priority) > self.capacity:
            keep = np.sort(np.lexsort((offsets, -priority))[: self.capacity])
            priority, offsets, times, marks = priority[keep], offsets[keep], times[keep], marks[keep]
            columns = columns.take(keep)
            self._floor = float(priority.min())
        self._priority, self.offsets, self.times, self.marks = priority, offsets, times, marks
        self.columns = columns
        self._waiting, self._waiting_columns, self._waiting_rows = [], [], 0

    def __len__(self) -> int:
        self.settle()
        return len(self.offsets)

    def to_state(self) -> list[Any]:
        """The sample as plain values for the snapshot; the same rows give the same bytes."""
        self.settle()
        arrays = (self._priority, self.offsets, self.times, self.marks)
        pace = [self.half_life, self._base, self._since]
        return [*(array.tobytes() for array in arrays), to_bytes(self.columns, self._spec), pace]

    def load_state(self, state: list[Any]) -> None:
        """Take the rows back from `to_state`; raises ValueError if the lengths do not agree."""
        priority, offsets, times, marks, columns, pace = state
        self.half_life, self._base, self._since = pace
        self._priority = np.frombuffer(priority, np.float64)
        self.offsets = np.frombuffer(offsets, np.int64)
        self.times = np.frombuffer(times, np.int64)
        self.marks = np.frombuffer(marks, np.uint8)
        self.columns = from_bytes(columns, self._spec)
        rows = {len(a) for a in (self._priority, self.offsets, self.times, self.marks, self.columns)}
        if len(rows) != 1 or len(self.offsets) > self.capacity:
            raise ValueError(f"reservoir of unequal columns: {sorted(rows)} rows")
        if len(self.offsets) == self.capacity:
            self._floor = float(self._priority.min())
