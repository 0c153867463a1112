"""A log-linear integer histogram of reconstruction errors: deterministic, exactly mergeable and subtractable.

A bucket is the upper bits of the float32: 32 buckets an octave, so 2 to 3 % wide, over 2^-20 to 2^20 (the HDR
histogram's idea, Tene 2012). No logarithm is computed, so the same error falls into the same bucket everywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_SHIFT = 18  # of 23 mantissa bits, 5 are kept: 32 buckets an octave
_LOWEST = 2.0**-20
_OCTAVES = 40
BUCKETS = _OCTAVES * 32
_OFFSET = int(np.float32(_LOWEST).view(np.int32)) >> _SHIFT


def bucket_of(errors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """(n,) float32 errors, none negative or nan, to (n,) int64 buckets; outside the range, the first or last bucket."""
    bits = np.ascontiguousarray(errors, np.float32).view(np.int32) >> _SHIFT
    buckets: npt.NDArray[np.int64] = np.clip(bits - _OFFSET, 0, BUCKETS - 1).astype(np.int64)
    return buckets


def count(errors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """(BUCKETS,) int64 counts; counts of two sets add."""
    return np.bincount(bucket_of(errors), minlength=BUCKETS)


def edges() -> npt.NDArray[np.float64]:
    """(BUCKETS + 1,) float64: bucket i holds errors in [edges[i], edges[i + 1])."""
    bits = (np.arange(BUCKETS + 1, dtype=np.int64) + _OFFSET) << _SHIFT
    return bits.astype(np.int32).view(np.float32).astype(np.float64)


def error_at(counts: npt.NDArray[np.int64], share_above: float) -> float:
    """The error above which this share of the counted errors lies, interpolated inside its bucket."""
    total = int(counts.sum())
    if not total:
        raise ValueError("an empty histogram has no quantiles")
    below = (1.0 - share_above) * total
    cumulative = np.concatenate(([0], np.cumsum(counts)))
    return float(np.interp(below, cumulative, edges()))
