"""Fitting: the same weights from the same seed, robust to contamination, better from a warm start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.core.examples import SPEC, rows
from training.fit import fit
from training.gate import judge
from worker.core.columns import Columns
from worker.core.detector import Detector, Normalisation
from worker.core.threshold import Threshold

BASE = fit(SPEC, rows(1_500), kind="denoising", seed=0)
DETECTOR = BASE.detector()


def errors(detector: Detector, columns: Columns) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return detector.errors(detector.encoder.transform(columns))


def broken(seed: int) -> Columns:
    """b no longer goes with a."""
    columns = rows(300, seed)
    np.random.default_rng(seed).shuffle(columns.values[1])
    return columns


def test_the_same_seed_gives_the_same_weights_and_leaves_torch_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = fit(SPEC, rows(1_500), kind="denoising", seed=0)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(tensor, BASE.state_dict[name]) for name, tensor in again.state_dict.items())
    other = fit(SPEC, rows(1_500), kind="denoising", seed=1)
    assert not torch.equal(other.state_dict["layers.0.weight"], BASE.state_dict["layers.0.weight"])


def test_a_broken_relation_is_seen_though_every_value_is_ordinary() -> None:
    normal, odd = errors(DETECTOR, rows(1_000, seed=7)), errors(DETECTOR, broken(8))
    # The chance that a row with two unrelated values scores above a normal one; one half is blind.
    assert (odd[:, None] > normal[None, :]).mean() > 0.6


def test_a_dirty_warm_up_still_sees_its_kind_of_dirt() -> None:
    dirty = rows(1_500)
    wild = np.random.default_rng(0).choice(1_200, 45, replace=False)
    dirty.values[0][wild] = 60.0
    detector = fit(SPEC, dirty, kind="denoising", seed=0).detector()
    again = rows(200, seed=3)
    again.values[0][:] = 60.0
    assert np.median(errors(detector, again)) > np.quantile(errors(detector, rows(1_000, seed=4)), 0.99)


def shifted(count: int, seed: int) -> Columns:
    columns = rows(count, seed)
    columns.values[0][:] += 3.0
    return columns


def test_a_warm_start_learns_what_has_moved_and_keeps_the_encoder() -> None:
    tuned = fit(SPEC, shifted(3_000, 1), kind="denoising", seed=1, parent=DETECTOR)
    assert tuned.encoder is DETECTOR.encoder
    fixed = Detector(tuned.encoder, "denoising", tuned.state_dict, DETECTOR.normalisation)
    new = shifted(1_000, 2)
    assert errors(fixed, new).mean() < 0.9 * errors(DETECTOR, new).mean()


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="31 rows are too few"):
        fit(SPEC, rows(31), kind="denoising", seed=0)


# The gate.


def threshold(detector: Detector) -> Threshold:
    from training.calibrate import calibrate

    return calibrate(errors(detector, rows(2_000, seed=20)), bundle="b", alert_rate=0.01, created_at="x")


def changed(scale: float = 1.0, weight: float | None = None) -> Detector:
    state = {name: tensor * scale for name, tensor in BASE.state_dict.items()}
    if weight is not None:
        state["layers.3.bias"] = torch.full_like(state["layers.3.bias"], weight)
    return Detector(BASE.encoder, "denoising", state, BASE.normalisation)


def test_an_honest_fine_tune_passes() -> None:
    tuned = fit(SPEC, rows(3_000, seed=21), kind="denoising", seed=2, parent=DETECTOR).detector()
    result = judge(DETECTOR, threshold(DETECTOR), tuned, threshold(tuned), rows(1_500, seed=22))
    assert result.refusals == []


def test_a_model_that_forgot_everything_is_refused_for_its_error() -> None:
    blank = changed(scale=0.0)
    result = judge(DETECTOR, threshold(DETECTOR), blank, threshold(blank), rows(1_500, seed=22))
    assert any("normal error" in reason for reason in result.refusals)


def test_a_model_with_broken_weights_is_refused() -> None:
    result = judge(
        DETECTOR, threshold(DETECTOR), changed(weight=float("nan")), threshold(DETECTOR), rows(1_500, seed=22)
    )
    assert result.refusals == ["errors are not finite"]


def test_a_threshold_that_floods_is_refused() -> None:
    low = threshold(DETECTOR).model_copy(update={"cut": 0.9})
    result = judge(DETECTOR, threshold(DETECTOR), DETECTOR, low, rows(1_500, seed=22))
    assert any("flags" in reason for reason in result.refusals)


def test_a_model_that_gives_every_row_the_same_error_is_refused() -> None:
    flat = Normalisation(DETECTOR.normalisation.mean, np.full(5, 1e6, np.float32), DETECTOR.normalisation.unseen)
    same = Detector(BASE.encoder, "denoising", BASE.state_dict, flat)
    result = judge(DETECTOR, threshold(DETECTOR), same, threshold(same), rows(1_500, seed=22))
    assert any("diversity" in reason for reason in result.refusals)
