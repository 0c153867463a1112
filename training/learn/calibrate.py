"""Calibration: a threshold from the errors of rows that the fit has not seen. `move_threshold` moves it afterwards."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.learn.tail import fit_tail
from worker.core.model.histogram import count, edges
from worker.core.model.tail import Tail
from worker.core.model.threshold import Provenance, Threshold, inflate

TAIL_SHARE = 0.05
TAIL_ERRORS = 50
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
    inflation: float = 1.0,
    reason: str = "held-out rows",
) -> Threshold:
    """Make a threshold from (n,) float32 errors in time order, those of anomalies included.

    `inflation` is the one to begin with, as live events have shown it. The threshold's `n` counts clusters: errors that
    follow each other above the start of the tail are one observation (declustering by runs; Coles, "An introduction to
    statistical modeling of extreme values", 2001, section 5.3.2). Raises ValueError for fewer than 32 errors.
    """
    if len(errors) < _LEAST_ERRORS:
        raise ValueError(f"{len(errors)} errors are too few to calibrate on; at least {_LEAST_ERRORS}")
    wide = errors.astype(np.float64)
    share = _tail_share(len(errors), alert_rate)
    repeats = _count_repeats(wide, float(np.quantile(wide, 1.0 - share)))
    counts = count(errors)
    plain = Threshold(
        bundle=bundle,
        alert_rate=alert_rate,
        cut=1.0,
        n=max(1, len(errors) - repeats),
        histogram=tuple((int(bucket), int(counts[bucket])) for bucket in np.flatnonzero(counts)),
        tail=fit_tail(wide, share),
        parent=parent,
        provenance=Provenance(kind="calibration", created_at=created_at, reason=reason),
    )
    return with_inflation(plain, inflation)


def with_inflation(threshold: Threshold, inflation: float) -> Threshold:
    """The threshold at this inflation, or at the nearest one whose cut is within `WITHIN` of the calibrated cut."""
    counts, tail, rate = threshold.counts(), threshold.tail, threshold.alert_rate
    calibrated = _cut(counts, tail, rate)
    cut = _cut(counts, tail, float(inflate(np.array([rate]), 1.0 / inflation)[0]))
    within = float(np.clip(cut, calibrated / WITHIN, calibrated * WITHIN))
    if within != cut:
        cut = within
        reached = threshold.held_out_p(np.array([cut], np.float32))[0]
        inflation = rate * (1.0 - reached) / (max(reached, 1e-12) * (1.0 - rate))
    return threshold.model_copy(update={"cut": cut, "inflation": float(inflation)})


def _cut(counts: npt.NDArray[np.int64], tail: Tail | None, alert_rate: float) -> float:
    """The error that a share `alert_rate` exceeds: from the tail if that begins before it, else from the histogram."""
    if tail is not None and alert_rate <= tail.share:
        return tail.error_at(alert_rate)
    survival = np.concatenate((np.cumsum(counts[::-1])[::-1], [0])) / counts.sum()
    # The lowest bucket edge that no more than the wanted share exceeds: errors that tie stay below the cut together.
    return float(edges()[int(np.argmax(survival <= alert_rate))])


def _tail_share(n: int, alert_rate: float) -> float:
    """The share of the errors in the Pareto tail: at most 5 %, at least 50 errors and half the alert rate.

    So the tail begins beyond the cut if the errors suffice. A fit over more of them would let a few contaminated errors
    bend the cut.
    """
    return min(TAIL_SHARE, max(TAIL_ERRORS / n, alert_rate / 2.0))


def _count_repeats(errors: npt.NDArray[np.float64], start: float) -> int:
    """The number of errors above `start` that directly follow another one: they belong to the same observation."""
    above = errors > start
    return int((above[1:] & above[:-1]).sum())
