"""From rows to a version: fit, calibrate on a block of its own, gate, bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version as installed

import numpy as np

from training.calibrate import calibrate
from training.fit import WORST_SHARE, Fitted, fit, normalisation_of, raw_errors
from training.gate import judge
from worker.core.bundle import Bundle, pack
from worker.core.columns import Columns
from worker.core.detector import Detector, Normalisation
from worker.core.threshold import Threshold
from worker.settings import Settings

CALIBRATE_SHARE = 0.3
_LIBRARIES = ("torch", "numpy", "safetensors")


@dataclass(frozen=True, slots=True)
class Trained:
    """A version ready to promote; with `refusals`, one that the gate keeps from serving."""

    bundle: Bundle
    threshold: Threshold
    refusals: list[str]


def train_version(
    settings: Settings,
    rows: Columns,
    *,
    calibrate_on: Columns | None,
    version: int,
    parent: tuple[Bundle, Threshold] | None,
    ranges: dict[str, list[int]],
    seed: int,
    created_at: str,
) -> Trained:
    """Train on `rows` in time order; without a block to calibrate on, the last `CALIBRATE_SHARE` of them is kept for
    it.

    With a parent it is a warm start and goes through the gate; the first model of a stream has nothing to be
    compared with.
    """
    if calibrate_on is None:
        cut = int(len(rows) * (1.0 - CALIBRATE_SHARE))
        rows, calibrate_on = rows.take(slice(0, cut)), rows.take(slice(cut, None))
    before = parent[0].detector() if parent is not None else None
    fitted = fit(settings.spec, rows, kind=settings.model.kind, seed=seed + version, parent=before)
    fitted = replace(fitted, normalisation=_normalised(fitted, before, calibrate_on))
    detector = fitted.detector()
    errors = detector.errors(detector.encoder.transform(calibrate_on))
    threshold = calibrate(
        errors, bundle="", alert_rate=settings.threshold.alert_rate, created_at=created_at,
        parent=parent[1].digest() if parent else None,
    )  # fmt: skip
    refusals, metrics = _gate(parent, before, detector, threshold, calibrate_on)
    bundle = pack(
        version=version,
        kind=fitted.kind,
        encoder=fitted.encoder,
        state_dict=fitted.state_dict,
        normalisation=fitted.normalisation,
        parent=parent[0].digest if parent else None,
        created_at=created_at,
        data=ranges,
        metrics={
            **fitted.metrics,
            **metrics,
            "rows": float(len(rows)),
            "calibration_rows": float(len(errors)),
        },
        libraries={name: installed(name) for name in _LIBRARIES},
        seed=seed,
    )
    return Trained(bundle, threshold.model_copy(update={"bundle": bundle.digest}), refusals)


def _normalised(fitted: Fitted, before: Detector | None, block: Columns) -> Normalisation:
    """What a typical error is, from the block without its worst rows: an incident in it must not become the
    yardstick.
    """
    judge = before if before is not None else fitted.detector()
    errors = judge.errors(judge.encoder.transform(block))
    keep = np.argsort(errors, kind="stable")[: len(errors) - int(WORST_SHARE * len(errors))]
    return normalisation_of(fitted.encoder, raw_errors(fitted.detector().network, fitted.encoder, block.take(keep)))


def _gate(
    parent: tuple[Bundle, Threshold] | None,
    champion: Detector | None,
    challenger: Detector,
    threshold: Threshold,
    block: Columns,
) -> tuple[list[str], dict[str, float]]:
    if parent is None or champion is None:
        return [], {}
    result = judge(champion, parent[1], challenger, threshold, block)
    return result.refusals, result.metrics
