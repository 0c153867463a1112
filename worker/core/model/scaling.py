"""Scaling of numeric features: fitted in training, frozen into the bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

CLIP = 10.0
"""Scaled values are clipped at this many standard deviations, and marked."""
_P95_TO_SD = 2 * 1.6448536269514722  # the 5 to 95 % range of a normal distribution, in standard deviations
_NEAR_CONSTANT = 1e-3
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Scaling:
    """z = (transform(x) - centre) / spread, clipped; `low` and `high` bound the values seen in training, in original
    units.

    `constant`: training saw (nearly) one value. Then the spread is a thousandth of its magnitude or one unit,
    whichever is larger, so that one unit of change on a quiet counter is not a million standard deviations.
    """

    transform: Literal["none", "log", "asinh"]
    centre: float
    spread: float
    low: float
    high: float
    constant: bool

    @staticmethod
    def fit(values: npt.NDArray[np.float64], transform: Literal["none", "log", "asinh"], scale: str) -> Scaling:
        """From (n,) float64 with nan for missing; without a single value the feature counts as constant at 0."""
        present = values[np.isfinite(values)]
        if not len(present):
            return Scaling(transform, 0.0, 1.0, 0.0, 0.0, constant=True)
        moved = transformed(present, transform)
        if scale == "robust":
            low, centre, high = (float(q) for q in np.quantile(moved, (0.05, 0.5, 0.95)))
            spread = (high - low) / _P95_TO_SD
            # More than nine in ten are one value: the range says 0, the deviation still tells how far the others lie.
            spread = spread if spread > 0 else float(moved.std())
        else:
            centre, spread = float(moved.mean()), float(moved.std())
        constant = spread <= _NEAR_CONSTANT * _NEAR_CONSTANT * max(abs(centre), _TINY)
        if constant:
            spread = max(_NEAR_CONSTANT * abs(centre), 1.0)
        return Scaling(transform, centre, max(spread, _TINY), float(present.min()), float(present.max()), constant)

    def apply(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n,) scaled, not clipped; nan stays nan, finite stays finite."""
        with np.errstate(over="ignore"):
            return (transformed(values, self.transform) - self.centre) / self.spread

    def invert(self, scaled: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n,) back to original units, inside what training saw."""
        with np.errstate(over="ignore"):
            values = inverted(scaled * self.spread + self.centre, self.transform)
        return np.clip(values, self.low, self.high)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def transformed(values: npt.NDArray[np.float64], transform: str) -> npt.NDArray[np.float64]:
    """(n,) values in the units that statistics are taken in."""
    if transform == "log":
        return np.sign(values) * np.log1p(np.abs(values))
    if transform == "asinh":
        return np.arcsinh(values)
    return values


def inverted(values: npt.NDArray[np.float64], transform: str) -> npt.NDArray[np.float64]:
    """(n,) `transformed` undone."""
    if transform == "log":
        return np.asarray(np.sign(values) * np.expm1(np.abs(values)), np.float64)
    if transform == "asinh":
        return np.sinh(values)
    return values
