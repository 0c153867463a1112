"""The gate: a safety check of a challenger before it serves. It need not be better than the champion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from worker.core.events.columns import Columns
from worker.core.model.autoencoder import feature_errors
from worker.core.model.detector import Detector
from worker.core.model.histogram import bucket_of
from worker.core.model.layout import Transform
from worker.core.model.scaling import Scaling
from worker.core.model.threshold import Threshold

NORMAL_ERROR_WORSE = 1.2
NORMAL_ERROR_SLACK = 0.02
"""Allowed in any case, in nats per feature: on a nearly constant stream a fifth more of almost nothing is no reason."""
ALERT_RATE_WORSE = 2.0
DIVERSITY_LEAST = 0.3
COLLAPSED_BUCKETS = 8.0
"""A quarter of an octave between the 10 and 90 % quantiles: with less, the errors hardly differ."""
_TRIM = 0.05
_FEATURE_CAP = 30.0


@dataclass(frozen=True, slots=True)
class GateResult:
    """The reasons to refuse the challenger, none if it may serve, and the figures that were compared."""

    refusals: list[str]
    metrics: dict[str, float]


def compare(
    champion: Detector,
    champion_threshold: Threshold,
    challenger: Detector,
    challenger_threshold: Threshold,
    columns: Columns,
) -> GateResult:
    """Compare the challenger with the champion on the calibration block: n rows that neither was fitted on.

    Three figures must not be much worse: the normal error, in units common to both (without the champion's worst 5 %
    of the rows); the share of rows flagged; and the diversity of the errors (a collapsed model gives every row the same
    error). A challenger with errors that are not finite is refused without figures.
    """
    old, new = _errors(champion, columns), _errors(challenger, columns)
    if not np.isfinite(new).all():
        return GateResult(["errors are not finite"], {})
    normal = old <= np.quantile(old, 1.0 - _TRIM)
    metrics = {
        "normal_error": _normal_error(challenger, champion, columns, normal),
        "normal_error_champion": _normal_error(champion, challenger, columns, normal),
        "alert_rate": float(challenger_threshold.flag(new).mean()),
        "alert_rate_champion": float(champion_threshold.flag(old).mean()),
        "diversity": _diversity(new),
        "diversity_champion": _diversity(old),
    }
    n, rate = len(new), challenger_threshold.alert_rate
    noise = 3.0 * float(np.sqrt(rate * (1.0 - rate) / n)) + 1.0 / n
    most_flagged = max(ALERT_RATE_WORSE * rate, metrics["alert_rate_champion"]) + noise
    refusals = []
    if not metrics["normal_error"] <= NORMAL_ERROR_WORSE * metrics["normal_error_champion"] + NORMAL_ERROR_SLACK:
        refusals.append(
            f"normal error {metrics['normal_error']:.4g} against the champion's {metrics['normal_error_champion']:.4g}"
        )
    if metrics["alert_rate"] > most_flagged:
        refusals.append(f"flags {metrics['alert_rate']:.4g} of the block, at most {most_flagged:.4g} is allowed")
    # A champion that no longer fits spreads its errors widely: less than that is no fault, almost nothing is.
    if metrics["diversity"] < min(DIVERSITY_LEAST * metrics["diversity_champion"], COLLAPSED_BUCKETS):
        refusals.append(
            f"score diversity {metrics['diversity']:.4g} against the champion's {metrics['diversity_champion']:.4g}"
        )
    return GateResult(refusals, metrics)


def _errors(detector: Detector, columns: Columns) -> npt.NDArray[np.float32]:
    return detector.errors(detector.encoder.transform(columns))


def _normal_error(detector: Detector, other: Detector, columns: Columns, normal: npt.NDArray[np.bool_]) -> float:
    """The mean error of the autoencoder over the normal rows and all features, each capped.

    A number's error is in units of the larger of the two detectors' spreads. That unit is the same for both, and no
    feature dominates because it was nearly constant when one of the two was fitted.
    """
    encoded = detector.encoder.transform(columns.take(np.flatnonzero(normal)))
    x, codes = torch.from_numpy(encoded.x), torch.from_numpy(encoded.codes)
    with torch.inference_mode():
        raw = feature_errors(detector.network(x), x, codes, detector.encoder.layout)
    units = [_unit(*both) for both in zip(detector.encoder.transforms, other.encoder.transforms, strict=True)]
    return float((raw * torch.tensor(units)).clamp_max(_FEATURE_CAP).mean())


def _unit(own: Transform, other: Transform) -> float:
    """The factor that brings a feature's squared error into the larger spread."""
    if not isinstance(own, Scaling) or not isinstance(other, Scaling):
        return 1.0
    return (own.spread / max(own.spread, other.spread)) ** 2


def _diversity(errors: npt.NDArray[np.float32]) -> float:
    """The distance between the 10 and 90 % quantiles of the errors, in histogram buckets."""
    low, high = np.quantile(bucket_of(errors), (0.1, 0.9))
    return float(high - low)
