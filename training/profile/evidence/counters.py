"""Recognises counters: numbers that only grow, apart from resets, over all events or within each entity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

MIN_VALUES = 32
_GROWTH = 0.9
_MAX_RESETS = 0.01
_RESET = 0.5
_MIN_PER_ENTITY = 3.0
_EVEN = 0.9
_CHANGES = 0.98


def looks_like_counter(
    values: Sequence[Any], entities: Sequence[str | None] | None = None, times: npt.NDArray[np.float64] | None = None
) -> bool:
    """Whether the numbers `values` (n,), None where missing, only grow, apart from resets.

    They are followed over all events, and within each of the `entities` (n,) if these are given; in the order of
    `times` (n,) in ms if these are given, nan where missing. A reset is a fall to half the value or less, as when a
    process starts anew; there may be one for a hundred rises. A number that falls back more often, such as the minute
    of an hour, is periodic. Between resets, nine tenths of all change must be growth, so that a few events out of order
    do not hide a counter.
    """
    if _grows(*_series(values, None, times)):
        return True
    if entities is None:
        return False
    series = _series(values, entities, times)
    known = sum(map(len, series))
    return known >= _MIN_PER_ENTITY * max(1, len(series)) and _grows(*series)


def grows_evenly(
    values: Sequence[Any], entities: Sequence[str | None] | None = None, times: npt.NDArray[np.float64] | None = None
) -> bool:
    """Whether nine tenths of the steps of a counter, followed as by `looks_like_counter`, are the same: an identifier
    that counts events grows by one, a clock in even steps.
    """
    steps = Counter(after - before for one in _series(values, entities, times) for before, after in pairwise(one))
    return bool(steps) and max(steps.values()) >= _EVEN * steps.total()


def always_changes(
    values: Sequence[Any], entities: Sequence[str | None], times: npt.NDArray[np.float64] | None = None
) -> bool:
    """Whether the value practically never stays the same from one event of an entity to its next, as of a sensor."""
    series = _series(values, entities, times)
    pairs = [before != after for one in series for before, after in pairwise(one)]
    return len(pairs) >= _MIN_PER_ENTITY * len(series) and sum(pairs) >= _CHANGES * len(pairs) > 0


def _series(
    values: Sequence[Any], entities: Sequence[str | None] | None, times: npt.NDArray[np.float64] | None
) -> list[list[Any]]:
    """The known values in the order of time, of all events together or of each entity."""
    rows = np.arange(len(values)) if times is None else np.argsort(times, kind="stable")
    series: dict[str | None, list[Any]] = {}
    for row in rows.tolist():
        if values[row] is not None:
            series.setdefault(None if entities is None else entities[row], []).append(values[row])
    return list(series.values())


def _grows(*series: list[Any]) -> bool:
    """Whether all series together only grow, apart from resets. Each is in the order of time."""
    if len({value for values in series for value in values}) < MIN_VALUES:
        return False
    # Computed with Python numbers, because a float64 cannot resolve nanoseconds since 1970.
    steps = [(before, after) for values in series for before, after in pairwise(values)]
    kept = [after - before for before, after in steps if not _is_reset(before, after)]
    rise = sum(step for step in kept if step > 0)
    fall = -sum(step for step in kept if step < 0)
    few_resets = len(steps) - len(kept) <= _MAX_RESETS * sum(step > 0 for step in kept)
    return bool(few_resets and rise - fall >= _GROWTH * (rise + fall) > 0)


def _is_reset(before: Any, after: Any) -> bool:
    return bool(0 <= after <= _RESET * before and after < before)
