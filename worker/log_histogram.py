"""A histogram of durations in buckets that double in width."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class LogHistogram:
    """Counts durations by powers of two of seconds, from a quarter of a millisecond to an hour and beyond."""

    BOUNDS = 2.0 ** np.arange(-12, 13)

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float | npt.NDArray[np.float64]) -> None:
        """Count one duration, or (n,) of them. Negative ones, which clocks that disagree produce, count as 0."""
        values = np.maximum(np.atleast_1d(np.asarray(seconds, np.float64)), 0.0)
        found = np.bincount(np.searchsorted(self.BOUNDS, values), minlength=len(self.counts))
        self.counts = [before + new for before, new in zip(self.counts, found.tolist(), strict=True)]
        self.total += float(values.sum())

    def cumulative(self) -> list[tuple[float, int]]:
        """(upper bound in seconds, observations up to it), the last bound infinite."""
        return list(zip([*self.BOUNDS.tolist(), float("inf")], np.cumsum(self.counts).tolist(), strict=True))
