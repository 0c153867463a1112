"""Calibration: a threshold from the errors of rows that the fit has not seen, and its bounded steps afterwards."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.learn.tail import fit_tail
from worker.core.model.histogram import BUCKETS, HistogramRing, count, edges
from worker.core.model.tail import Tail
from worker.core.model.threshold import Provenance, Threshold, inflate

TAIL_SHARE = 0.05
TAIL_ERRORS = 50
STEP = 1.25
"""The largest factor between the inflations of successive thresholds."""
WITHIN = 1.5
"""The largest factor between a cut and the calibrated one."""
LEAST_CHANGE = 0.01
LEAST_EXPECTED = 30.0
_PRIOR = 10.0
"""The weight of the assumption that live events are as calibrated, in expected events."""
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
    return _with_inflation(plain, inflation)


def live_inflation(ring: HistogramRing, alert_rate: float, before: float) -> float:
    """The inflation that live events call for, at most a factor `STEP` away from the one `before`.

    It is the ratio of the live events whose held-out p-value is at most the alert rate to the number expected. If fewer
    than 30 are expected, the smallest level at which 30 are replaces the alert rate. As many of the newest hours are
    counted as it takes to expect 30. Without any live events it is the one `before`.
    The level adapts to its observed coverage as in Gibbs and Candès, "Adaptive conformal inference under distribution
    shift", NeurIPS 2021, but in bounded steps.
    """
    counts, n = np.zeros(BUCKETS, np.int64), 0
    for hour in sorted(ring.hours, reverse=True):
        counts = counts + ring.hours[hour]
        n = int(counts.sum())
        if n * alert_rate >= LEAST_EXPECTED:
            break
    if not n:
        return before
    level = min(max(alert_rate, LEAST_EXPECTED / n), 0.5)
    below = float(np.interp(level, edges(), np.concatenate(([0], np.cumsum(counts)))))
    found = (below + _PRIOR) / (n * level + _PRIOR)
    return float(np.clip(found, before / STEP, before * STEP))


def follow(threshold: Threshold, ring: HistogramRing, *, created_at: str, offsets: dict[str, int]) -> Threshold | None:
    """The next threshold, a bounded step towards the live p-values in `ring`; None if no step is due.

    No step is due while fewer than 30 events are expected beyond the cut, or if the cut would change by less than 1 %.
    The cut stays within a factor 1.5 of the calibrated one: a threshold that follows a drift further would hide it.
    `offsets` are those up to which `ring` has counted.
    """
    if int(ring.total().sum()) * threshold.alert_rate < LEAST_EXPECTED:
        return None
    found = live_inflation(ring, threshold.alert_rate, threshold.inflation)
    moved = _with_inflation(threshold, found)
    if abs(moved.cut / threshold.cut - 1.0) < LEAST_CHANGE:
        return None
    bound = "; at the bound of the bundle's calibration: the errors drift" if moved.inflation != found else ""
    reason = f"live events reach the alert rate {found:.3g} times as often as held-out ones{bound}"
    provenance = Provenance(kind="merged", created_at=created_at, reason=reason, offsets=offsets)
    return moved.model_copy(update={"parent": threshold.digest(), "provenance": provenance})


def _with_inflation(threshold: Threshold, inflation: float) -> Threshold:
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
