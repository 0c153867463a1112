"""The scaling of numeric features: fitted in training and frozen into the bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

CLIP = 10.0
"""Values further out, in standard deviations, are clipped in the input and marked as out of range."""
_P95_TO_SD = 2 * 1.6448536269514722  # the 5 to 95 % range of a normal distribution, in standard deviations
_NEAR_CONSTANT = 1e-3
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Scaling:
    """z = (transform(x) - centre) / spread.

    `low` and `high` are the least and the largest value of training, in original units. `constant` says that (nearly)
    all values were the same. The spread is then a thousandth of that value or one unit, whichever is larger, so that
    one unit of change on a quiet counter is not a million standard deviations.
    """

    transform: Literal["none", "log", "asinh"]
    centre: float
    spread: float
    low: float
    high: float
    constant: bool

    @staticmethod
    def fit(values: npt.NDArray[np.float64], transform: Literal["none", "log", "asinh"], scale: str) -> Scaling:
        """Fit on (n,) float64, nan where missing. A feature without a single value counts as constant at 0."""
        present = values[np.isfinite(values)]
        if not len(present):
            return Scaling(transform, 0.0, 1.0, 0.0, 0.0, constant=True)
        moved = apply_transform(present, transform)
        if scale == "robust":
            low, centre, high = (float(q) for q in np.quantile(moved, (0.05, 0.5, 0.95)))
            spread = (high - low) / _P95_TO_SD
            # The range is 0 if more than nine in ten values are the same; the deviation still reflects the others.
            spread = spread if spread > 0 else float(moved.std())
        else:
            centre, spread = float(moved.mean()), float(moved.std())
        constant = spread <= _NEAR_CONSTANT * _NEAR_CONSTANT * max(abs(centre), _TINY)
        if constant:
            spread = max(_NEAR_CONSTANT * abs(centre), 1.0)
        return Scaling(transform, centre, max(spread, _TINY), float(present.min()), float(present.max()), constant)

    def apply(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n,) float64 values to (n,) scaled ones, not clipped. A nan stays nan, a finite value stays finite."""
        with np.errstate(over="ignore"):
            return (apply_transform(values, self.transform) - self.centre) / self.spread

    def invert(self, scaled: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n,) scaled values back in original units, limited to the range of training."""
        with np.errstate(over="ignore"):
            values = undo_transform(scaled * self.spread + self.centre, self.transform)
        return np.clip(values, self.low, self.high)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def apply_transform(values: npt.NDArray[np.float64], transform: str) -> npt.NDArray[np.float64]:
    """(n,) values in the units in which statistics are taken: `transform` is "none", "log" or "asinh"."""
    if transform == "log":
        return np.sign(values) * np.log1p(np.abs(values))
    if transform == "asinh":
        return np.arcsinh(values)
    return values


def undo_transform(values: npt.NDArray[np.float64], transform: str) -> npt.NDArray[np.float64]:
    """The inverse of `apply_transform`, (n,) to (n,)."""
    if transform == "log":
        return np.asarray(np.sign(values) * np.expm1(np.abs(values)), np.float64)
    if transform == "asinh":
        return np.sinh(values)
    return values
