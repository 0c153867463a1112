"""Fits what answers to a single number that is off, and aligns the surprises with the error."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.core.model.alignment import PREFIX
from worker.core.model.encoder import Encoded
from worker.core.model.error_kernel import PART_MOST
from worker.core.model.extremes import RARE, START, TABLE
from worker.core.model.layout import Layout

NEVER = 1e6
"""A surprise that no row has: an alignment that begins here never counts."""
_NATS = np.array([1.6, 2.3, 3.0, 3.5, 4.0, 4.6, 5.3, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 14.0, 16.0, 20.0, 25.0])
_LEAST_UNITS = 0.05
"""A number whose rare values lie next to its common ones falls by at most one nat in this many units of x."""
_TIED = 1e-6
_LEAST_ROWS = 5.0
_TAIL = 0.05
_TAIL_LEAST = 20
_PER_NAT = (0.02, 1.0)


def fit_tails(layout: Layout, encoded: Encoded) -> dict[str, Tensor]:
    """Fit the tensors of `worker.core.model.extremes.Extremes` on n encoded rows."""
    x = encoded.x[:, layout.numeric_starts].astype(np.float64)
    if not x.shape[1]:
        return {TABLE: torch.zeros(0, 4)}
    rare_low, low, high, rare_high = np.quantile(x, (RARE, START, 1.0 - START, 1.0 - RARE), axis=0)
    nats = np.log(START / RARE)
    per_low, per_high = (np.maximum(width / nats, _LEAST_UNITS) for width in (low - rare_low, rare_high - high))
    return {TABLE: torch.from_numpy(np.stack((low, per_low, high, per_high), 1).astype(np.float32))}


def align(
    name: str, errors: npt.NDArray[np.float32], surprises: npt.NDArray[np.float32], behind: float
) -> dict[str, Tensor]:
    """Fit the points of an `Alignment` on (n,) errors and (n,) surprises of rows that the fit has not seen.

    A surprise counts as `behind` nats more common than it is: what answers to one value alone must be rarer, because a
    row has many values.
    """
    logs, logs_of_surprises = np.log(errors.astype(np.float64)), np.log1p(surprises.astype(np.float64))
    known, largest = _deepest(len(errors)), float(np.log(PART_MOST))
    points: list[tuple[float, float]] = []
    for level in _NATS.tolist():
        surprise = float(np.expm1(_at(logs_of_surprises, level)))
        if level > known:
            # A surprise is in nats, so it is not rarer than that, however close together the largest ones lie.
            surprise = max(surprise, float(np.expm1(_at(logs_of_surprises, known))) + level - known)
        # Where many rows share a surprise, it is as common as all of them.
        nats = min(level, -float(np.log((surprises >= surprise - _TIED).mean() + 1e-9)))
        # No surprise counts more than the largest mean error there can be: else a few of them would bend the tail that
        # the threshold is read from.
        error = min(_at(logs, max(nats - behind, 0.0)), largest)
        if nats >= _NATS[0] - 0.1 and (not points or surprise > points[-1][0] + _TIED):
            points.append((surprise, max(error, points[-1][1]) if points else error))
    if len(points) < 2:
        points = [(NEVER, 0.0), (2.0 * NEVER, 0.0)]
    return {PREFIX + name: torch.tensor(points, dtype=torch.float64)}


def _at(values: npt.NDArray[np.float64], nats: float) -> float:
    """The value that a share exp(-nats) of (n,) values reaches. Where fewer than five would, it goes on linearly: an
    exponential tail, with the median excess of the largest 5 %, which a few anomalies among them hardly move.
    """
    n, deepest = len(values), _deepest(len(values))
    if nats <= deepest:
        return float(np.quantile(values, 1.0 - float(np.exp(-nats))))
    ordered = np.sort(values)
    tail = ordered[-max(int(_TAIL * n), min(_TAIL_LEAST, n - 1)) - 1 :]
    per_nat = float(np.clip((np.median(tail) - tail[0]) / np.log(2.0), *_PER_NAT))
    return float(np.quantile(values, 1.0 - _LEAST_ROWS / n)) + per_nat * (nats - deepest)


def _deepest(n: int) -> float:
    """The nats down to which n rows tell how rare a value is."""
    return float(np.log(n / _LEAST_ROWS))
