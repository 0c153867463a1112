"""Calibration: a threshold from the errors of rows that the fit has not seen. `move_threshold` moves it afterwards."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from training.learn.tail import fit_tail
from worker.core.model.histogram import count, edges
from worker.core.model.tail import Tail
from worker.core.model.threshold import Provenance, Threshold, inflate

TAIL_SHARE = 0.05
TAIL_ERRORS = 100
WITHIN = 1.5
"""The largest factor between a cut and the calibrated one."""
_LEAST_ERRORS = 32


def calibrate(
    errors: npt.NDArray[np.float32],
    *,
    bundle: str,
    alert_rate: float,
    created_at: str,
    parent: str | None = None,
    reason: str = "held-out rows",
) -> Threshold:
    """Make a threshold from (n,) float32 errors in time order, those of anomalies included.

    The threshold's `n` counts clusters: errors that follow each other above the start of the tail are one observation
    (declustering by runs; Coles, "An introduction to statistical modeling of extreme values", 2001, section 5.3.2).
    Raises ValueError for fewer than 32 errors.
    """
    if len(errors) < _LEAST_ERRORS:
        raise ValueError(f"{len(errors)} errors are too few to calibrate on; at least {_LEAST_ERRORS}")
    wide = errors.astype(np.float64)
    share = _tail_share(len(errors), alert_rate)
    repeats = _count_repeats(wide, float(np.quantile(wide, 1.0 - share)))
    counts, tail, n = count(errors), fit_tail(wide, share), max(1, len(errors) - repeats)
    return Threshold(
        bundle=bundle,
        alert_rate=alert_rate,
        cut=_cut(counts, tail, alert_rate),
        n=n,
        histogram=tuple((int(bucket), int(counts[bucket])) for bucket in np.flatnonzero(counts)),
        tail=tail,
        evidence=evidence_at(n, tail, alert_rate),
        parent=parent,
        provenance=Provenance(kind="calibration", created_at=created_at, reason=reason),
    )


def with_inflation(threshold: Threshold, inflation: float) -> Threshold:
    """The threshold at this inflation, or at the nearest one whose cut is within `WITHIN` of the calibrated cut.

    If that bound binds, the provenance says so.
    """
    counts, tail, rate = threshold.counts(), threshold.tail, threshold.alert_rate
    calibrated = _cut(counts, tail, rate)
    wanted = _cut(counts, tail, float(inflate(np.array([rate]), 1.0 / inflation)[0]))
    cut = float(np.clip(wanted, calibrated / WITHIN, calibrated * WITHIN))
    provenance = threshold.provenance
    if cut != wanted:
        reached = threshold.held_out_p(np.array([cut], np.float32))[0]
        inflation = rate * (1.0 - reached) / (max(reached, 1e-12) * (1.0 - rate))
        side = "more" if wanted > calibrated else "fewer"
        text = (
            f"; the errors drift: live events call for a cut of {wanted:.4g}, which is held at {cut:.4g}, a factor "
            f"{WITHIN} from the calibrated {calibrated:.4g}, so {side} events than alert_rate are flagged"
        )
        provenance = provenance.model_copy(update={"reason": provenance.reason + text})
    provenance = provenance.model_copy(update={"at_bound": cut != wanted})
    return threshold.model_copy(update={"cut": cut, "inflation": float(inflation), "provenance": provenance})


def evidence_at(n: int, tail: Tail | None, alert_rate: float) -> float:
    """How well n errors fix the cut of `alert_rate`, as a number of events expected beyond it.

    It is 1 / Var(log p) of the true p at the fitted cut: n alert_rate by counting, more if a tail of k excesses is
    extrapolated. There, by the delta method at shape 0, Var(log p) is (1 + y^2 + 4/3 (y^2 / 2 - y)^2) / k with
    y = log(share / alert_rate); the terms are those of start, scale and shape (Hosking and Wallis 1987, equation 9).
    """
    counted = n * alert_rate
    if tail is None or alert_rate >= tail.share:
        return counted
    y = math.log(tail.share / alert_rate)
    return max(counted, n * tail.share / (1.0 + y**2 + 4.0 / 3.0 * (y**2 / 2.0 - y) ** 2))


def _cut(counts: npt.NDArray[np.int64], tail: Tail | None, alert_rate: float) -> float:
    """The error that a share `alert_rate` exceeds: from the tail if that begins before it, else from the histogram."""
    if tail is not None and alert_rate <= tail.share:
        return tail.error_at(alert_rate)
    survival = np.concatenate((np.cumsum(counts[::-1])[::-1], [0])) / counts.sum()
    # The lowest bucket edge that no more than the wanted share exceeds: errors that tie stay below the cut together.
    return float(edges()[int(np.argmax(survival <= alert_rate))])


def _tail_share(n: int, alert_rate: float) -> float:
    """The share of the errors in the Pareto tail: at most 5 %, at least 100 errors and half the alert rate.

    So the tail begins beyond the cut if the errors suffice. A fit over more of them would let a few contaminated errors
    bend the cut.
    """
    return min(TAIL_SHARE, max(TAIL_ERRORS / n, alert_rate / 2.0))


def _count_repeats(errors: npt.NDArray[np.float64], start: float) -> int:
    """The number of errors above `start` that directly follow another one: they belong to the same observation."""
    above = errors > start
    return int((above[1:] & above[:-1]).sum())
