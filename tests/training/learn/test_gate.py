"""The gate: an honest fine-tune passes, and each way to fail is refused for its own reason."""

from __future__ import annotations

import numpy as np
import torch

from tests.core.examples import SPEC, rows
from training.learn.calibrate import calibrate
from training.learn.fit import fit
from training.learn.gate import compare
from worker.core.events.columns import Columns
from worker.core.model.detector import Detector
from worker.core.model.threshold import Threshold

BASE = fit(SPEC, rows(1_500), kind="denoising", seed=0)
DETECTOR = BASE.detector()


def errors(detector: Detector, columns: Columns) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return detector.errors(detector.encoder.transform(columns))


def threshold(detector: Detector) -> Threshold:
    return calibrate(errors(detector, rows(2_000, seed=20)), bundle="b", alert_rate=0.01, created_at="x")


def change(scale: float = 1.0, weight: float | None = None) -> Detector:
    tensors = {
        name: tensor * scale if name.startswith("autoencoder") else tensor for name, tensor in BASE.tensors.items()
    }
    if weight is not None:
        tensors["autoencoder.layers.3.bias"] = torch.full_like(tensors["autoencoder.layers.3.bias"], weight)
    return Detector(BASE.encoder, "denoising", tensors)


def test_an_honest_fine_tune_passes() -> None:
    tuned = fit(SPEC, rows(3_000, seed=21), kind="denoising", seed=2, parent=DETECTOR).detector()
    result = compare(DETECTOR, threshold(DETECTOR), tuned, threshold(tuned), rows(1_500, seed=22))
    assert result.refusals == []


def test_a_model_that_forgot_everything_is_refused_for_its_error() -> None:
    blank = change(scale=0.0)
    result = compare(DETECTOR, threshold(DETECTOR), blank, threshold(blank), rows(1_500, seed=22))
    assert any("normal error" in reason for reason in result.refusals)


def test_a_model_with_broken_weights_is_refused() -> None:
    result = compare(
        DETECTOR, threshold(DETECTOR), change(weight=float("nan")), threshold(DETECTOR), rows(1_500, seed=22)
    )
    assert result.refusals == ["errors are not finite"]


def test_a_threshold_that_floods_is_refused() -> None:
    low = threshold(DETECTOR).model_copy(update={"cut": 0.3})
    result = compare(DETECTOR, threshold(DETECTOR), DETECTOR, low, rows(1_500, seed=22))
    assert any("flags" in reason for reason in result.refusals)


def test_a_model_that_gives_every_row_the_same_error_is_refused() -> None:
    # No member depends on the row: residuals and marginals are constant, the output is beyond any cap, and no surprise
    # is large enough to count.
    constant = {
        "conditional.matrix": 0.0,
        "marginal.table": 0.5,
        "autoencoder.layers.3.weight": 0.0,
        "autoencoder.layers.3.bias": 1e3,
    }
    flat = {
        name: torch.full_like(tensor, constant[name]) if name in constant else tensor
        for name, tensor in BASE.tensors.items()
    }
    never = torch.tensor([[1e6, 0.0], [2e6, 0.0]], dtype=torch.float64)
    flat |= {name: never for name in flat if name.startswith("alignment.")}
    same = Detector(BASE.encoder, "denoising", flat)
    result = compare(DETECTOR, threshold(DETECTOR), same, threshold(same), rows(1_500, seed=22))
    assert any("diversity" in reason for reason in result.refusals)
