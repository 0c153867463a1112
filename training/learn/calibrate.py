"""Calibration: from errors of a block that training never saw to a threshold version, and its later bounded steps."""

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
"""Most by which one version's inflation differs from the last one's."""
WITHIN = 1.5
"""Most by which the cut differs from the calibrated one, as a factor."""
LEAST_CHANGE = 0.01
LEAST_EXPECTED = 30.0
_PRIOR = 10.0
"""So many expected events count as if they had come as calibrated."""
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
    """A threshold from (n,) float32 errors in time order, anomalous ones included.

    n in the threshold counts clusters, since errors that follow each other above the tail's start are one observation
    (declustering by runs, Coles 2001, section 5.3.2). Raises ValueError with fewer than 32 errors.
    """
    if len(errors) < _LEAST_ERRORS:
        raise ValueError(f"{len(errors)} errors are too few to calibrate on; at least {_LEAST_ERRORS}")
    wide = errors.astype(np.float64)
    share = _tail_share(len(errors), alert_rate)
    repeats = _repeats(wide, float(np.quantile(wide, 1.0 - share)))
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
    return _corrected(plain, inflation)


def live_inflation(ring: HistogramRing, alert_rate: float, before: float) -> float:
    """How many times more often than calibrated live events reach a p-value at the alert rate, or the smallest one at
    which at least 30 are expected; at most a factor `STEP` from the one `before`.

    The newest hours count, as many as it takes. Adapting the level to its observed coverage: Gibbs and Candès,
    "Adaptive conformal inference under distribution shift", NeurIPS 2021; here in bounded steps.
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
    """A bounded step of `threshold` towards what live p-values say; None where none is due.

    Within a factor 1.5 of the calibrated cut: a threshold that chases a drift hides it. Too few events (fewer than 30
    expected beyond the cut) or a change of the cut below 1 % are no step.
    """
    if int(ring.total().sum()) * threshold.alert_rate < LEAST_EXPECTED:
        return None
    found = live_inflation(ring, threshold.alert_rate, threshold.inflation)
    moved = _corrected(threshold, found)
    if abs(moved.cut / threshold.cut - 1.0) < LEAST_CHANGE:
        return None
    bound = "; at the bound of the bundle's calibration: the errors drift" if moved.inflation != found else ""
    reason = f"live events reach the alert rate {found:.3g} times as often as held-out ones{bound}"
    provenance = Provenance(kind="merged", created_at=created_at, reason=reason, offsets=offsets)
    return moved.model_copy(update={"parent": threshold.digest(), "provenance": provenance})


def _corrected(threshold: Threshold, inflation: float) -> Threshold:
    """With this inflation, or the nearest one whose cut is within the bound of the calibrated cut."""
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
    """The error that a share `alert_rate` exceeds: from the tail where it reaches that far, else from the histogram."""
    if tail is not None and alert_rate <= tail.share:
        return tail.error_at(alert_rate)
    survival = np.concatenate((np.cumsum(counts[::-1])[::-1], [0])) / counts.sum()
    # The lowest bucket edge beyond which no more than the wanted share lies: ties stay below the cut.
    return float(edges()[int(np.argmax(survival <= alert_rate))])


def _tail_share(n: int, alert_rate: float) -> float:
    """Where the Pareto tail begins: 50 errors beyond it, and only past the cut where the data reach that far.

    A fit over more of the tail would let a few contaminated errors bend the cut.
    """
    return min(TAIL_SHARE, max(TAIL_ERRORS / n, alert_rate / 2.0))


def _repeats(errors: npt.NDArray[np.float64], start: float) -> int:
    """How many errors above `start` directly follow another: they count as the same observation."""
    above = errors > start
    return int((above[1:] & above[:-1]).sum())
