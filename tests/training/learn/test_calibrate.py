"""Calibration: p-values that are uniform, and cuts that meet the alert rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.learn.calibrate import calibrate
from worker.core.model.threshold import Threshold, score_of


def errors(count_: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).lognormal(0.0, 0.5, count_).astype(np.float32)


def calibrate_at(values: np.ndarray[tuple[int], np.dtype[np.float32]], rate: float) -> Threshold:
    return calibrate(values, bundle="b", alert_rate=rate, created_at="2026-01-01T00:00:00Z")


@settings(max_examples=60, deadline=None)
@given(st.integers(32, 3_000), st.integers(0, 1_000), st.sampled_from([0.0005, 0.01, 0.2]))
def test_p_values_fall_with_the_error_down_to_the_floor(size: int, seed: int, rate: float) -> None:
    threshold = calibrate_at(errors(size, seed), rate)
    grid = np.sort(np.concatenate([errors(500, seed + 1), np.geomspace(1e-6, 1e6, 500).astype(np.float32)]))
    p = threshold.p_values(grid)
    assert (np.diff(p) <= 1e-12).all()
    assert p.max() <= 1.0
    assert p.min() == pytest.approx(1.0 / (20.0 * threshold.n))
    assert np.isfinite(score_of(p)).all()


def test_p_values_are_uniform_on_held_out_data() -> None:
    p = calibrate_at(errors(20_000, 3), 0.01).p_values(errors(20_000, 4))
    for level in (0.5, 0.1, 0.01, 0.002):
        noise = 4 * np.sqrt(2 * level * (1 - level) / 20_000)
        assert (p <= level).mean() == pytest.approx(level, abs=noise + 0.03 * level)


@pytest.mark.parametrize(("size", "rate"), [(1_000, 0.001), (1_000, 0.02), (8_000, 0.002), (20_000, 0.05)])
def test_the_alert_rate_is_met_on_held_out_data(size: int, rate: float) -> None:
    held_out = errors(200_000, 999)
    observed = np.array([calibrate_at(errors(size, seed), rate).flag(held_out).mean() for seed in range(30)])
    # The tolerance of the mean over 30 calibrations: sampling noise of the cut, and a fifth for an extrapolated tail.
    noise = 4 * np.sqrt(rate / size / 30)
    assert observed.mean() == pytest.approx(rate, abs=noise + 0.2 * rate)


def test_all_errors_equal_flags_none_of_them() -> None:
    same = np.full(500, 1.5, np.float32)
    threshold = calibrate_at(same, 0.01)
    assert not threshold.flag(same).any()
    assert threshold.flag(np.array([3.0], np.float32)).all()


def test_a_plateau_is_not_cut_in_two() -> None:
    values = np.concatenate([np.full(900, 1.0), np.full(100, 5.0)]).astype(np.float32)
    assert calibrate_at(values, 0.01).flag(values).mean() <= 0.01


def test_contamination_raises_the_cut_no_further_than_its_share() -> None:
    clean = errors(10_000, 1)
    dirty = np.concatenate([clean, np.full(50, 500.0, np.float32)])
    assert calibrate_at(dirty, 0.02).cut < np.quantile(clean, 0.99)


def test_runs_of_large_errors_count_once() -> None:
    values = errors(2_000, 1)
    values[100:220] = np.linspace(50.0, 60.0, 120, dtype=np.float32)
    # The tail holds the largest 5 %: a hundred errors, all of them at the end of the run.
    assert calibrate_at(values, 0.01).n == 2_000 - 99


@pytest.mark.parametrize(("size", "rate"), [(2_000, 0.001), (2_000, 0.01), (512, 0.002)])
def test_the_evidence_is_the_inverse_variance_of_the_share_beyond_the_cut(size: int, rate: float) -> None:
    held_out = np.sort(errors(400_000, 999))
    beyond = []
    for seed in range(60):
        cut = calibrate_at(errors(size, seed), rate).cut
        beyond.append(max(len(held_out) - int(np.searchsorted(held_out, cut)), 1) / len(held_out))
    evidence = calibrate_at(errors(size, 0), rate).evidence
    assert 0.4 < evidence * np.var(np.log(beyond)) < 2.5


@pytest.mark.parametrize("size", [512, 2_000, 20_000])
@pytest.mark.parametrize("shape", [0.0, 0.2, 0.35])
def test_p_beyond_the_rows_is_an_upper_limit_in_nine_of_ten_calibrations(size: int, shape: float) -> None:
    rng, true_p = np.random.default_rng(size), 1e-6
    far = np.array([-np.log(true_p) if shape == 0 else (true_p**-shape - 1) / shape], np.float32) + 1
    covered, best = [], []
    for _ in range(100):
        u = rng.uniform(size=size)
        sample = 1 + (-np.log(u) if shape == 0 else (u**-shape - 1) / shape)
        threshold = calibrate_at(sample.astype(np.float32), 0.001).model_copy(update={"live_n": 10**9})
        covered.append(threshold.p_values(far)[0] >= true_p)
        best.append(threshold.best_p(far)[0] <= threshold.p_values(far)[0])
    assert np.mean(covered) >= 0.85  # 95 % as calculated; the asymptotic deviation is a little too small at shape 0.35
    assert all(best)


def test_too_few_errors_are_refused() -> None:
    with pytest.raises(ValueError, match="31 errors are too few"):
        calibrate_at(errors(31, 0), 0.01)
