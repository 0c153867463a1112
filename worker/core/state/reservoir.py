"""A deterministic, exponentially biased reservoir sample of one partition's rows.

Each row draws its chance from a hash of (topic id, partition, offset), never from a generator with hidden state, and
a row's priority depends on its offset alone. So the sample after a prefix of the log does not depend on the batches,
and two samples of disjoint ranges merge by keeping the rows of highest priority.

The half-life follows the model versions (`pace`), because the next version is trained on the recent rows. If a version
serves for longer than its half-life, weights grow with the logarithm of the time served: half of the rows that it
served count as recent, and fewer and fewer new rows enter.

Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", Information Processing Letters 97(5),
2006: keep the k rows with the largest log-key; with weights 2^(offset / half_life) this is the biased reservoir of
Aggarwal, "On biased reservoir sampling in the presence of stream evolution", VLDB 2006.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns, from_bytes, to_bytes
from worker.core.events.spec import FeatureSpec

FLAGGED = np.uint8(1)
TRAINABLE = np.uint8(2)

BLOCK = 64
_KEPT = 0.75
_SLACK = 1e-6  # keeps the cheap test before the exact one from leaving out a row

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def partition_seed(topic_id: str, partition: int) -> np.uint64:
    """The 64-bit seed that keys every draw of one partition."""
    digest = hashlib.sha256(f"{topic_id}/{partition}".encode()).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def draw_uniform(seed: np.uint64, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """One variate in (0, 1) per offset, (n,) float64, from splitmix64 (Steele et al., OOPSLA 2014)."""
    z = seed + (offsets.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def held_out(seed: np.uint64, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(n,) bool: the rows that are kept for calibration, and that no version after the first is fitted on.

    They are a quarter of the stream, in whole blocks of `BLOCK` offsets. Neighbouring rows are alike: single rows held
    out between fitted ones would score better than new rows will.
    """
    blocks = offsets // BLOCK
    held: npt.NDArray[np.bool_] = draw_uniform(seed ^ _GOLDEN, blocks) > _KEPT
    return held


class Reservoir:
    """At most `capacity` rows. With `half_life` (in offsets), newer rows weigh more; without it, all weigh the same."""

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
        """Set the half-life, in offsets, of the rows from `offset` on."""
        self.settle()
        self._base = float(self._ages(np.array([offset], np.int64))[0])
        self._since, self.half_life = offset, half_life

    def _ages(self, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(n,) float64, the logarithm of each row's weight, which grows with its offset."""
        if self.half_life is None:
            return np.zeros(len(offsets))
        served = (offsets - self._since) / self.half_life
        grown = np.where(served <= 1.0, served, 1.0 + np.log(np.maximum(served, 1.0)))
        return np.asarray(self._base + math.log(2.0) * grown, np.float64)

    def best(self, count: int) -> npt.NDArray[np.intp]:
        """The indices of the `count` rows of highest priority, in offset order: a smaller sample of the same stream."""
        self.settle()
        if len(self.offsets) <= count:
            return np.arange(len(self.offsets))
        return np.sort(np.lexsort((self.offsets, -self._priority))[:count])

    def offer(
        self,
        uniform: npt.NDArray[np.float64],
        offsets: npt.NDArray[np.int64],
        times: npt.NDArray[np.int64],
        marks: npt.NDArray[np.uint8],
        columns: Columns,
        among: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Offer n rows in offset order, or only those that the mask `among` (n,) selects.

        `uniform` (n,) from `draw_uniform`; `times` (n,) event time in ms; `marks` (n,) of `FLAGGED` and `TRAINABLE`.
        """
        able = uniform > self._least(offsets)
        chosen = np.flatnonzero(able if among is None else able & among)
        priority = self._ages(offsets[chosen]) - np.log(-np.log(uniform[chosen]))
        inside = priority > self._floor
        chosen, priority = chosen[inside], priority[inside]
        if not len(chosen):
            return
        self._waiting.append((priority, offsets[chosen], times[chosen], marks[chosen]))
        self._waiting_columns.append(columns.take(chosen) if len(chosen) < len(offsets) else columns)
        self._waiting_rows += len(chosen)
        if self._waiting_rows >= max(self.capacity, 1024):
            self.settle()

    def _least(self, offsets: npt.NDArray[np.int64]) -> float:
        """The least draw that can reach the floor, at the largest weight among these rows."""
        if self._floor == -math.inf or not len(offsets):
            return 0.0
        weight = math.exp(min(float(self._ages(offsets[-1:])[0]) - self._floor, 700.0))
        return math.exp(-weight) * (1.0 - _SLACK)

    def settle(self) -> None:
        """Add the waiting rows; the public arrays are exact afterwards, and in offset order."""
        if not self._waiting:
            return
        blocks = [(self._priority, self.offsets, self.times, self.marks), *self._waiting]
        priority, offsets, times, marks = (np.concatenate(column) for column in zip(*blocks, strict=True))
        columns = Columns.concat([self.columns, *self._waiting_columns])
        if len(priority) >= self.capacity:
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

    # The table behind snapshots. A row never changes, and one that was pushed out never returns.

    def changed(self, since: int) -> int:
        """The number of rows from this offset on."""
        self.settle()
        return len(self.offsets) - int(np.searchsorted(self.offsets, since))

    def capture(self, since: int) -> list[Callable[[], bytes]]:
        """Copy those rows; the returned function encodes them later, in any thread."""
        self.settle()
        first = int(np.searchsorted(self.offsets, since))
        arrays = [array[first:] for array in (self._priority, self.offsets, self.times, self.marks)]
        columns = self.columns if first == 0 else self.columns.take(slice(first, None))

        def encode() -> bytes:
            return msgspec.msgpack.encode([*(array.tobytes() for array in arrays), to_bytes(columns, self._spec)])

        return [encode] if len(arrays[0]) else []

    @property
    def paced(self) -> tuple[float | None, float, int]:
        """What `load` needs besides the rows: half-life, and weight and offset at the last change of pace."""
        return self.half_life, self._base, self._since

    def load(self, segments: Sequence[bytes], paced: Sequence[Any]) -> None:
        """Restore the rows from captured segments, older first. Raises ValueError if one is damaged."""
        self.half_life, self._base, self._since = paced
        for raw in segments:
            try:
                *blobs, columns = msgspec.msgpack.decode(raw, type=tuple[bytes, bytes, bytes, bytes, bytes])
            except msgspec.MsgspecError as error:
                raise ValueError(f"not a sample: {error}") from error
            dtypes = (np.float64, np.int64, np.int64, np.uint8)
            rows = tuple(np.frombuffer(blob, dtype) for blob, dtype in zip(blobs, dtypes, strict=True))
            read = from_bytes(columns, self._spec)
            if len({len(read), *map(len, rows)}) != 1:
                raise ValueError("a sample of unequal columns")
            self._waiting.append(rows)
            self._waiting_columns.append(read)
        self.settle()
