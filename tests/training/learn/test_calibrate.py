"""Calibration: p-values that are uniform, cuts that meet the alert rate, steps that stay bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.learn.calibrate import WITHIN, calibrate
from training.learn.move_threshold import STEP, live_inflation, move_threshold
from worker.core.model.histogram import BUCKETS, HistogramRing
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
    values[100:180] = np.linspace(50.0, 60.0, 80, dtype=np.float32)
    # The tail holds the largest 2.5 %: fifty errors, all of them in the run.
    assert calibrate_at(values, 0.01).n == 2_000 - 49


def test_too_few_errors_are_refused() -> None:
    with pytest.raises(ValueError, match="31 errors are too few"):
        calibrate_at(errors(31, 0), 0.01)


def ring_of(threshold: Threshold, live: np.ndarray[tuple[int], np.dtype[np.float32]], hour: int = 0) -> HistogramRing:
    return HistogramRing({hour: np.bincount(threshold.p_buckets(live), minlength=BUCKETS)})


def follow_factor(current: Threshold, factor: float) -> Threshold | None:
    ring = ring_of(current, (errors(50_000, 8) * factor).astype(np.float32))
    return move_threshold(current, ring, created_at="2026-01-01T01:00:00Z", offsets={"t/0": 5})


def test_the_threshold_follows_by_steps_and_stops_at_its_bound() -> None:
    anchor = calibrate_at(errors(20_000, 1), 0.01)
    current, inflations = anchor, [anchor.inflation]
    while (after := follow_factor(current, 4.0)) is not None:
        current = after
        inflations.append(current.inflation)
    steps = np.array(inflations[1:]) / np.array(inflations[:-1])
    assert steps.max() <= STEP + 1e-9
    assert current.cut == pytest.approx(anchor.cut * WITHIN, rel=0.02)
    assert "at the bound" in current.provenance.reason
    assert current.parent is not None


def test_p_at_a_moved_cut_is_still_the_alert_rate() -> None:
    after = follow_factor(calibrate_at(errors(20_000, 1), 0.01), 4.0)
    assert after is not None
    assert after.p_values(np.array([after.cut], np.float32))[0] == pytest.approx(0.01, rel=0.25)


def test_live_events_that_are_harder_than_held_out_ones_meet_the_alert_rate_in_the_end() -> None:
    current = calibrate_at(errors(20_000, 1), 0.01)
    live = (errors(50_000, 8) * 1.15).astype(np.float32)
    assert current.flag(live).mean() > 0.014
    while (after := follow_factor(current, 1.15)) is not None:
        current = after
    assert current.flag(live).mean() == pytest.approx(0.01, rel=0.1)


def test_only_as_many_of_the_newest_hours_count_as_needed() -> None:
    current = calibrate_at(errors(20_000, 1), 0.01)
    old = ring_of(current, (errors(50_000, 8) * 4.0).astype(np.float32), hour=1)
    new = ring_of(current, errors(50_000, 9), hour=2)
    assert live_inflation(HistogramRing.merge([old, new]), 0.01, 1.0) == pytest.approx(1.0, abs=0.15)
    assert live_inflation(old, 0.01, 1.0) == pytest.approx(STEP)
    assert live_inflation(HistogramRing(), 0.01, 1.2) == 1.2


def test_no_step_without_enough_counts_or_without_a_change() -> None:
    anchor = calibrate_at(errors(20_000, 1), 0.01)
    few = ring_of(anchor, (errors(900, 2) * 4).astype(np.float32))
    assert move_threshold(anchor, few, created_at="x", offsets={}) is None
    assert follow_factor(anchor, 1.0) is None
