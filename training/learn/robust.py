"""A robust location and scatter: the maximum likelihood of a multivariate Student t.

Rows far out weigh little, so a few per cent of outliers hardly move the location and the covariance, and no row has to
be discarded.
Sources: Kent and Tyler, "Redescending M-estimates of multivariate location and scatter", Annals of Statistics 19(4),
1991; Lange, Little and Taylor, "Robust statistical modeling using the t distribution", JASA 84, 1989.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FREEDOM = 2.0
_ROUNDS = 4


def scatter(y: npt.NDArray[np.float64], ridge: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The location (D,) and the precision (D, D) of (n, D) rows, after a fixed number of reweighting steps.

    `ridge` times the mean variance is added to each variance before the covariance is inverted.
    """
    n, width = y.shape
    weights = np.ones(n)
    for _ in range(_ROUNDS + 1):
        location = weights @ y / weights.sum()
        centred = y - location
        covariance = (weights[:, None] * centred).T @ centred / weights.sum()
        scale = max(float(np.trace(covariance)) / width, 1e-6)
        precision = np.linalg.inv(covariance + ridge * scale * np.eye(width))
        distance = np.einsum("ij,ij->i", centred @ precision, centred)
        weights = (FREEDOM + width) / (FREEDOM + distance)
    return location, precision
