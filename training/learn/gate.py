"""The gate: a safety check before a challenger serves, not a contest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from worker.core.events.columns import Columns
from worker.core.model.autoencoder import feature_errors
from worker.core.model.detector import Detector
from worker.core.model.histogram import bucket_of
from worker.core.model.scaling import Scaling
from worker.core.model.threshold import Threshold

NORMAL_ERROR_WORSE = 1.2
NORMAL_ERROR_SLACK = 0.02
"""Nats per feature: on a stream that is nearly constant, a fifth of next to nothing is no reason."""
ALERT_RATE_WORSE = 2.0
DIVERSITY_LEAST = 0.3
COLLAPSED_BUCKETS = 8.0
"""A quarter of an octave between the 10 and 90 % quantiles: errors that hardly differ."""
_TRIM = 0.05
_FEATURE_CAP = 30.0


@dataclass(frozen=True, slots=True)
class GateResult:
    """`refusals` in words, empty where the challenger may serve; `metrics` what was compared."""

    refusals: list[str]
    metrics: dict[str, float]


def judge(
    champion: Detector,
    champion_threshold: Threshold,
    challenger: Detector,
    challenger_threshold: Threshold,
    columns: Columns,
) -> GateResult:
    """Compare on the calibration block, n rows that neither was fitted on.

    Not worse: the normal error in units that both share (without the champion's worst 5 %), the share flagged, and the
    diversity of the errors (a collapsed model gives every row the same one).
    """
    old, new = _errors(champion, columns), _errors(challenger, columns)
    if not np.isfinite(new).all():
        return GateResult(["errors are not finite"], {})
    normal = old <= np.quantile(old, 1.0 - _TRIM)
    metrics = {
        "normal_error": _reference(challenger, champion, columns, normal),
        "normal_error_champion": _reference(champion, challenger, columns, normal),
        "alert_rate": float(challenger_threshold.flagged(new).mean()),
        "alert_rate_champion": float(champion_threshold.flagged(old).mean()),
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
    # A champion that no longer fits spreads its errors widely, so less than it had is no fault; next to nothing is.
    if metrics["diversity"] < min(DIVERSITY_LEAST * metrics["diversity_champion"], COLLAPSED_BUCKETS):
        refusals.append(
            f"score diversity {metrics['diversity']:.4g} against the champion's {metrics['diversity_champion']:.4g}"
        )
    return GateResult(refusals, metrics)


def _errors(detector: Detector, columns: Columns) -> npt.NDArray[np.float32]:
    return detector.errors(detector.encoder.transform(columns))


def _reference(detector: Detector, other: Detector, columns: Columns, normal: npt.NDArray[np.bool_]) -> float:
    """Mean error of the autoencoder over the normal rows, each feature capped, a number in the larger of the two
    detectors' scales: the same unit for both, and not one in which a feature that has woken up is all that counts.
    """
    encoded = detector.encoder.transform(columns.take(np.flatnonzero(normal)))
    x, codes = torch.from_numpy(encoded.x), torch.from_numpy(encoded.codes)
    with torch.inference_mode():
        raw = feature_errors(detector.network(x), x, codes, detector.encoder.layout)
    units = [_unit(own, its) for own, its in zip(detector.encoder.transforms, other.encoder.transforms, strict=True)]
    return float((raw * torch.tensor(units)).clamp_max(_FEATURE_CAP).mean())


def _unit(own: object, its: object) -> float:
    if not isinstance(own, Scaling) or not isinstance(its, Scaling):
        return 1.0
    return (own.spread / max(own.spread, its.spread)) ** 2


def _diversity(errors: npt.NDArray[np.float32]) -> float:
    """Spread of the errors between the 10 and 90 % quantiles, in histogram buckets."""
    low, high = np.quantile(bucket_of(errors), (0.1, 0.9))
    return float(high - low)
