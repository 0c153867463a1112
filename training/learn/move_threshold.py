"""Moves a threshold between calibrations: a bounded step towards the p-values that live events have shown."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from training.learn.calibrate import evidence_at, with_inflation
from worker.core.model.histogram import edges
from worker.core.model.threshold import TRAINING_P, Provenance, Threshold, inflate

STEP = 1.25
"""The largest factor between the inflations of successive thresholds, unless the cut is still less well known."""
EVIDENCE_MOST = 60.0
"""Evidence beyond this many expected events is forgotten, so that a threshold can follow a stream that changes."""
SURPRISE = 2.5
"""Standard errors by which live events may exceed the alert rate before older evidence loses weight."""
MOST_AT_ONCE = 4.0
"""The largest factor between successive targets: one burst says little about how many there will be."""
LIVE_MOST = 10_000_000
_DUE_SHARE = 0.1


def follow(threshold: Threshold, live: npt.NDArray[np.int64]) -> Threshold:
    """The threshold after `live` events under its bundle, which no earlier step has counted.

    `live` is (BUCKETS,) int64, a histogram of their held-out p-values. The share beyond the cut has a gamma
    distribution with the alert rate as its mean and the `evidence` so far as its weight in expected events; live events
    update it as Poisson counts (Gelman et al., "Bayesian data analysis", 3rd edition, 2013, section 2.6). The
    `target` is moved by its mean, and the inflation towards that by at most a factor `STEP`, or one standard error if
    that is more: after a burst the cut goes on rising, so that bursts count in the share flagged. The target stays if
    the same events would then miss the alert rate by more, as where many errors are equal.
    """
    n, rate, weight = int(live.sum()), threshold.alert_rate, threshold.evidence
    if not n:
        return threshold
    below = np.concatenate(([0], np.cumsum(live)))

    def miss(inflation: float) -> float:
        """The factor by which these events, and the evidence before them, miss the alert rate at this inflation."""
        level = float(inflate(np.array([rate]), 1.0 / inflation)[0])
        return (weight + float(np.interp(level, edges(), below))) / (weight + n * rate)

    before = threshold.target
    found, expected = miss(before) * (weight + n * rate) - weight, n * rate
    surprise = (found - expected) / math.sqrt(expected + expected**2 / weight)
    if surprise > SURPRISE:  # the stream has changed: what was known before says less
        weight *= (SURPRISE / surprise) ** 2
    target = before * float(np.clip(miss(before), 1.0 / MOST_AT_ONCE, MOST_AT_ONCE))
    if (miss(target) - 1.0) * (miss(before) - 1.0) < 0 and abs(math.log(miss(target))) > abs(math.log(miss(before))):
        target = before
    weight = threshold.evidence
    most = max(STEP, math.exp(1.0 / math.sqrt(weight)))
    moved = with_inflation(threshold, float(np.clip(target, threshold.inflation / most, threshold.inflation * most)))
    update: dict[str, float | int] = {"evidence": min(weight + n * rate, max(weight, EVIDENCE_MOST))}
    update["target"] = moved.inflation if moved.provenance.at_bound else target
    if not moved.provenance.at_bound:
        # Those below the training cut, so that anomalies do not count; declustered as the calibration errors were.
        ordinary = n - float(np.interp(TRAINING_P, edges(), below))
        share = threshold.n / int(threshold.counts().sum())
        update["live_n"] = min(threshold.live_n + int(share * ordinary), LIVE_MOST)
    return moved.model_copy(update=update)


def is_due(threshold: Threshold, live: npt.NDArray[np.int64]) -> bool:
    """Whether these live events are enough for a step: those expected beyond the cut add a tenth to the evidence."""
    return int(live.sum()) * threshold.alert_rate >= max(1.0, _DUE_SHARE * threshold.evidence)


def move_threshold(
    threshold: Threshold, live: npt.NDArray[np.int64], *, created_at: str, offsets: dict[str, int]
) -> Threshold:
    """The next version of a threshold, after `follow`; `offsets` are those up to which live p-values were counted."""
    n = int(live.sum())
    provenance = Provenance(kind="merged", created_at=created_at, reason="", offsets=offsets)
    moved = follow(threshold.model_copy(update={"provenance": provenance}), live)
    reason = f"{n} live events; they reach the alert rate {moved.inflation:.3g} times as often as held-out rows"
    provenance = moved.provenance.model_copy(update={"reason": reason + moved.provenance.reason})
    return moved.model_copy(update={"parent": threshold.digest(), "provenance": provenance})


def change_rate(threshold: Threshold, alert_rate: float, *, created_at: str) -> Threshold:
    """The same calibration with its cut at another alert rate; what live events have shown stays."""
    reason = f"alert_rate changed from {threshold.alert_rate:g} to {alert_rate:g}"
    scaled = threshold.evidence * alert_rate / threshold.alert_rate
    changed = threshold.model_copy(
        update={
            "alert_rate": alert_rate,
            "evidence": max(evidence_at(threshold.n, threshold.tail, alert_rate), min(scaled, EVIDENCE_MOST)),
            "parent": threshold.digest(),
            "provenance": Provenance(kind="operator", created_at=created_at, reason=reason),
        }
    )
    return with_inflation(changed, threshold.inflation)
