"""The far tail of the errors: a generalised Pareto distribution fitted to the excesses over a high quantile."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from worker.core.model.tail import Tail

_LEAST_EXCESSES = 10
_SHAPE_MOST = 0.9


def fit_tail(errors: npt.NDArray[np.float64], start_share: float) -> Tail | None:
    """Fit beyond the quantile that `start_share` of n sorted-or-not errors exceed; None with fewer than 10 excesses.

    By probability-weighted moments (Hosking and Wallis, Technometrics 29(3), 1987), which are steadier than maximum
    likelihood for the few dozen excesses that there are; the shape is kept below 0.9, where the moments exist.
    """
    start = float(np.quantile(errors, 1.0 - start_share))
    excesses = np.sort(errors[errors > start] - start)
    k = len(excesses)
    if k < _LEAST_EXCESSES or not excesses[-1] > 0:
        return None
    b0 = float(excesses.mean())
    # Plotting positions (j - 0.35) / n, as the paper recommends.
    upper = 1.0 - (np.arange(1, k + 1) - 0.35) / k
    b1 = float((upper * excesses).mean())
    denominator = b0 - 2.0 * b1
    if denominator <= 1e-12 * b0:
        return None
    # The paper's k is minus the shape here. A tail that ends at once (shape below -0.5) is not believed.
    shape = min(max(2.0 - b0 / denominator, -0.5), _SHAPE_MOST)
    return Tail(start=start, shape=shape, scale=max(b0 * (1.0 - shape), 1e-9), share=k / len(errors))
