"""Finds numbers whose values change for good inside the sample, as when a unit changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_MIN_VALUES = 200
_PARTS = 10
_BODY = (0.1, 0.9)


def find_shift(known: Sequence[float]) -> tuple[float, float] | None:
    """The medians before and after a change for good, or None; `known` are (n,) values in the order of the events.

    The values are cut into ten blocks. They have changed for good if at one border between blocks the 10 to 90 % range
    of all values before does not overlap that of all values after.
    """
    values = np.asarray(known, np.float64)
    values = values[np.isfinite(values)]
    if len(values) < _MIN_VALUES:
        return None
    for border in np.linspace(0, len(values), _PARTS + 1).astype(np.intp)[1:-1].tolist():
        before, after = values[:border], values[border:]
        (low, high), (next_low, next_high) = np.quantile(before, _BODY), np.quantile(after, _BODY)
        if high < next_low or next_high < low:
            return float(np.median(before)), float(np.median(after))
    return None
