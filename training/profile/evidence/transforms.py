"""Chooses the transform of a numeric feature from the quantiles of its values.

The measure is the distance of the values' quantiles from those of a normal distribution, as in a normal Q-Q plot (Wilk
and Gnanadesikan, "Probability plotting methods for the analysis of data", Biometrika 55, 1968). It grows with skewness
and with the weight of the tails alike, does not depend on the unit, and no value beyond the outermost percent has an
influence on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from worker.core.model.scaling import apply_transform

_ROWS = 20_000
"""Rows that decide. More rows of a long file would only find more reasons for a transform."""
_LEVELS = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
_NORMAL = np.array([-2.3263, -1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449, 2.3263])
_LOW, _MIDDLE, _HIGH = 1, 4, 7
"""Places in `_LEVELS` of the 5 %, 50 % and 95 % quantile."""
_MIN_VALUES = 200
"""The 1 % and 99 % quantiles of fewer values are little more than single values."""
_MIN_DISTINCT = 10
_CLEAR, _REMEDY, _NORMAL_ENOUGH = 0.75, 0.4, 1.0
_POINT_MASS = 0.5
_FAR, _FAR_REMEDY = 9.0, 0.3


def choose_transform(known: Sequence[float]) -> Literal["none", "log", "asinh"]:
    """Choose the transform for the known values (n,) of a feature: `asinh` if some are negative, otherwise `log`.

    A transform is chosen only if it clearly helps, by one of two rules:

    - The values are clearly skewed or heavy-tailed: the distance from a normal distribution is at least 0.75 standard
      deviations (a log-normal with sigma 0.4 has 1.25), and the transform leaves at most 0.4 of it and at most 1. A
      log-normal keeps next to nothing. An exponential or a gamma distribution stays as it is: it would keep more than
      half, because its logarithm is as skewed to the other side.
    - A tail begins far beyond the body, as if one event in a hundred is a thousand times as large: the 99.9 % quantile
      is nine times as far from the median as the 90 % quantile, and the transform leaves at most 0.3 of that.

    If half of the values or more equal the smallest, as in a count of retries, the others decide. Fewer than ten
    different values are a count or a code, and stay as they are.
    """
    values = np.array(known[:_ROWS], np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return "none"
    transform: Literal["log", "asinh"] = "asinh" if values.min() < 0 else "log"
    least = values.min()
    body = values[values > least] if np.mean(values == least) >= _POINT_MASS else values
    if len(np.unique(body)) < _MIN_DISTINCT:
        return "none"
    if len(body) >= _MIN_VALUES:
        before, after = distance_from_normal(body), distance_from_normal(apply_transform(body, transform))
        if before >= _CLEAR and after <= min(_REMEDY * before, _NORMAL_ENOUGH):
            return transform
    sizes, typical = np.abs(values), np.abs(body)
    before = _tail_weight(sizes, typical)
    after = _tail_weight(apply_transform(sizes, transform), apply_transform(typical, transform))
    return transform if before > _FAR and after <= _FAR_REMEDY * before else "none"


def distance_from_normal(values: npt.NDArray[np.float64]) -> float:
    """The largest difference between the quantiles of (n,) values and those of a normal distribution.

    The values are centred on their median and scaled by their 5 to 95 % range, and the result is in standard
    deviations; infinite if that range is 0.
    """
    quantiles = np.quantile(values, _LEVELS)
    spread = (quantiles[_HIGH] - quantiles[_LOW]) / (_NORMAL[_HIGH] - _NORMAL[_LOW])
    if not spread > 0:
        return float("inf")
    return float(np.abs((quantiles - quantiles[_MIDDLE]) / spread - _NORMAL).max())


def _tail_weight(sizes: npt.NDArray[np.float64], typical: npt.NDArray[np.float64]) -> float:
    """How far the 99.9 % quantile of (n,) sizes lies from the median, relative to the 90 % quantile.

    If the 90 % quantile is the median, the median of the `typical` sizes (m,) takes its place.
    """
    ordered = np.sort(sizes)
    middle, high, top = (float(ordered[int(q * (len(ordered) - 1))]) for q in (0.5, 0.9, 0.999))
    width = high - middle if high > middle else float(np.median(typical)) - middle
    return (top - middle) / width if width > 0 else 0.0
