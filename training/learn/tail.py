"""Fits the far tail of the errors: a generalised Pareto distribution of the excesses over a high quantile."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from worker.core.model.tail import Tail

_LEAST_EXCESSES = 10
_SHAPE_MOST = 0.9
_UPPER_MOST = 0.95
_PRIOR_SHAPE, _PRIOR_DEVIATION = 0.2, 0.2
"""The prior of the shape, between an exponential tail's 0 and a heavy one's 0.4, as of errors of detectors."""
_ONE_SIDED_95 = 1.645


def fit_tail(errors: npt.NDArray[np.float64], start_share: float) -> Tail | None:
    """Fit a tail to (n,) errors, in any order, beyond the quantile that a share `start_share` of them exceeds.

    Returns None for fewer than 10 excesses, or if they do not determine a tail. The fit is by probability-weighted
    moments (Hosking and Wallis, Technometrics 29(3), 1987), which vary less than maximum likelihood for a few dozen
    excesses. The shape is kept to at most 0.9, where the moments exist, and drawn towards a normal prior by its
    standard error (as Martins and Stedinger, Water Resources Research 36(3), 2000, do): a few dozen excesses do not fix
    it. The tail's `upper_shape` is its one-sided 95 % limit.
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
    # The paper's k is the shape with its sign changed. A shape below -0.5 would end the tail abruptly.
    shape = _shrink(min(max(2.0 - b0 / denominator, -0.5), _SHAPE_MOST), k)
    return Tail(
        start=start,
        shape=shape,
        scale=max(b0 * (1.0 - shape), 1e-9),
        share=k / len(errors),
        upper_shape=min(shape + _ONE_SIDED_95 * _shape_error(shape, k), _UPPER_MOST),
    )


def _shrink(shape: float, k: int) -> float:
    """The shape's mean after k excesses, given the prior."""
    precision = 1.0 / _shape_error(shape, k) ** 2
    prior = 1.0 / _PRIOR_DEVIATION**2
    return (precision * shape + prior * _PRIOR_SHAPE) / (precision + prior)


def _shape_error(shape: float, k: int) -> float:
    """The standard error of a shape that was fitted to k excesses: the asymptotic one of the paper, equation 9.

    It has no finite value from a shape of 0.5 on, so that of maximum likelihood, (1 + shape) / sqrt(k), is its least.
    """
    h = -min(shape, 0.4)
    moments = (1 + h) * (2 + h) ** 2 * (1 + h + 2 * h**2) / ((1 + 2 * h) * (3 + 2 * h)) if h < 0.5 else 0.0
    return float(np.sqrt(max(moments, (1 + shape) ** 2) / k))
