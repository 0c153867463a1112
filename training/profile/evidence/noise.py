"""Finds features that tell nothing: flat ones that do not vary together with any other feature."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from training.tables.values import drop_missing
from worker.core.events.columns import category

_ROWS = 4_000
_MIN_ROWS = 500
_BINS = 8
_ALARMS = 0.01
"""The probability that any two of the features, all independent, are taken for associated."""
_MIN_SHARE = 0.05
"""Rarer levels share one bin: the statistic is unreliable where few events are expected."""
_MIN_LEVELS = 20
_MAX_FLATNESS_ERROR = 0.05
_MIN_ENTROPY = 0.95


def find_noise(columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, str]) -> list[str]:
    """The features that are flat and independent of every other one, such as a random port or hash.

    `columns` holds (n,) values by path, and `kinds` the kind of each feature. Features that vary on their own, yet not
    evenly, are not meant: an unusual value tells something by itself. Nothing is found in fewer than 500 rows.

    Each column is cut into at most eight bins, numbers by rank and categories by frequency; a flat category keeps all
    its levels when it is compared with others. Two columns are associated
    if the chi-squared statistic of their table exceeds its 99 % quantile, corrected for the number of pairs
    (Bonferroni); the quantile is Wilson and Hilferty's approximation, "The distribution of chi-square", PNAS 17, 1931.
    Rows beyond 4,000 are skipped evenly.
    """
    rows = len(next(iter(columns.values()), ()))
    if rows < _MIN_ROWS:
        return []
    taken = np.unique(np.linspace(0, rows - 1, min(rows, _ROWS)).astype(np.intp)).tolist()
    samples = {name: [columns[name][row] for row in taken] for name in kinds}
    flat = [name for name in kinds if _is_flat(samples[name], kinds[name])]
    if not flat or len(kinds) < 2:
        return []
    codes = {name: _bins(values, numeric=kinds[name] == "numeric") for name, values in samples.items()}
    whole = {name: _levels(samples[name]) if kinds[name] == "categorical" else codes[name] for name in flat}
    pairs = len(kinds) * (len(kinds) - 1) / 2
    deviate = NormalDist().inv_cdf(1.0 - _ALARMS / pairs)
    return [
        name
        for name in flat
        if not any(_associated(whole[name], codes[other], deviate) for other in codes if other != name)
    ]


def _is_flat(values: Sequence[Any], kind: str) -> bool:
    known = drop_missing(values)
    counts = Counter(map(category, known))
    if kind not in ("numeric", "categorical") or len(counts) < _MIN_LEVELS or len(known) < _MIN_ROWS:
        return False
    if kind == "categorical":
        shares = np.array(list(counts.values())) / len(known)
        return bool(-(shares * np.log(shares)).sum() >= _MIN_ENTROPY * math.log(len(counts)))
    ordered = np.sort(np.array(known, np.float64))
    places = (ordered - ordered[0]) / max(ordered[-1] - ordered[0], 1e-300)
    # The Kolmogorov distance from a uniform distribution over the range of the values.
    return bool(np.abs(places - np.linspace(0.0, 1.0, len(places))).max() <= _MAX_FLATNESS_ERROR)


def _bins(values: Sequence[Any], *, numeric: bool) -> npt.NDArray[np.int64]:
    """Codes (n,) from 0 on; a missing value has one of its own."""
    if numeric:
        numbers = np.array([np.nan if value is None else value for value in values], np.float64)
        edges = np.unique(np.nanquantile(numbers, np.arange(1, _BINS) / _BINS))
        return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="left"))
    texts = list(map(category, values))
    frequent = [level for level, count in Counter(texts).most_common(_BINS - 1) if count >= _MIN_SHARE * len(texts)]
    places = {level: place for place, level in enumerate(frequent)}
    return np.array([places.get(text, len(places)) for text in texts], np.int64)


def _levels(values: Sequence[Any]) -> npt.NDArray[np.int64]:
    """Codes (n,) from 0 on, one for each different value."""
    places: dict[str | None, int] = {}
    return np.array([places.setdefault(text, len(places)) for text in map(category, values)], np.int64)


def _associated(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], deviate: float) -> bool:
    table = np.zeros((int(one.max()) + 1, int(other.max()) + 1))
    np.add.at(table, (one, other), 1.0)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    if not freedom:
        return False
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    limit = freedom * (1.0 - 2.0 / (9.0 * freedom) + deviate * math.sqrt(2.0 / (9.0 * freedom))) ** 3
    return bool(statistic > limit)
