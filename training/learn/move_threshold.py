"""Moves a threshold between calibrations: a bounded step towards the p-values that live events have shown."""

from __future__ import annotations

import numpy as np

from training.learn.calibrate import with_inflation
from worker.core.model.histogram import BUCKETS, HistogramRing, edges
from worker.core.model.threshold import Provenance, Threshold

STEP = 1.25
"""The largest factor between the inflations of successive thresholds."""
LEAST_CHANGE = 0.01
LEAST_EXPECTED = 30.0
_PRIOR = 10.0
"""The weight of the assumption that live events are as calibrated, in expected events."""


def live_inflation(ring: HistogramRing, alert_rate: float, before: float) -> float:
    """The inflation that live events call for, at most a factor `STEP` away from the one `before`.

    It is the ratio of the live events whose held-out p-value is at most the alert rate to the number expected. As many
    of the newest hours are counted as it takes to expect 30. If all of them are too few, the smallest level at which 30
    are expected is used instead of the alert rate. Without any live events the result is `before`.
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


def move_threshold(
    threshold: Threshold, ring: HistogramRing, *, created_at: str, offsets: dict[str, int]
) -> Threshold | None:
    """The next threshold, a bounded step towards the live p-values in `ring`; None if no step is due.

    No step is due while fewer than 30 events are expected beyond the cut, or if the cut would change by less than 1 %.
    The cut stays within a factor 1.5 of the calibrated one: a threshold that follows a drift further would hide it.
    `offsets` are those up to which `ring` has counted.
    """
    if int(ring.total().sum()) * threshold.alert_rate < LEAST_EXPECTED:
        return None
    found = live_inflation(ring, threshold.alert_rate, threshold.inflation)
    moved = with_inflation(threshold, found)
    if abs(moved.cut / threshold.cut - 1.0) < LEAST_CHANGE:
        return None
    bound = "; at the bound of the bundle's calibration: the errors drift" if moved.inflation != found else ""
    reason = f"live events reach the alert rate {found:.3g} times as often as held-out ones{bound}"
    provenance = Provenance(kind="merged", created_at=created_at, reason=reason, offsets=offsets)
    return moved.model_copy(update={"parent": threshold.digest(), "provenance": provenance})
