"""Brings a surprise to the scale of the error: which error is as rare as this surprise?

Rows that the fit has not seen tell. Both are compared by the share of these rows that reach them. Beyond the rows' own
range, a surprise is exponential by its making, one nat a nat, and the error has a Pareto tail.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor

from worker.core.model.surprise_kernel import lift

PREFIX = "alignment."


class Alignment:
    """A rising, piecewise linear function from a surprise to the log of the error: (P, 2) float64 points."""

    def __init__(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Raises ValueError for points that are missing, not finite, or not rising."""
        points = tensors.get(PREFIX + name)
        if points is None or points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
            raise ValueError(f"{PREFIX}{name}: not of shape (points, 2)")
        found = points.numpy().astype(np.float64)
        if not np.isfinite(found).all() or (np.diff(found[:, 0]) <= 0).any() or (np.diff(found[:, 1]) < 0).any():
            raise ValueError(f"{PREFIX}{name}: not finite and rising")
        self._surprise, self._log_error = found[:, 0].copy(), found[:, 1].copy()

    def errors(self, surprises: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n,) float32 nats to (n,) float32 errors that are as rare; 0 for the common ones, below the first point."""
        errors = np.empty(len(surprises), np.float32)
        lift(np.ascontiguousarray(surprises), self._surprise, self._log_error, errors)
        return errors
