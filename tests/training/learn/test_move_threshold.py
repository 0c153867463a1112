"""Moving a threshold: live events weigh like held-out rows, steps and the cut stay bounded, and the bound is said."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.learn.calibrate import WITHIN, calibrate
from training.learn.carry_over import carry_over
from training.learn.live_counts import LiveCounts
from training.learn.move_threshold import STEP, change_rate, follow, is_due, move_threshold
from worker.core.events.columns import Columns
from worker.core.events.event_time import EventTimes
from worker.core.events.spec import FeatureSpec
from worker.core.model.histogram import BUCKETS
from worker.core.model.serving_model import Versions
from worker.core.model.threshold import Threshold, score_of, severity_of
from worker.core.state.partition_state import PartitionState, ScoredRows

Errors = npt.NDArray[np.float32]
SPEC = FeatureSpec.model_validate({"features": [{"field": "x", "kind": "numeric"}]})


def errors(count_: int, seed: int) -> Errors:
    return np.random.default_rng(seed).lognormal(0.0, 0.5, count_).astype(np.float32)


def calibrate_at(values: Errors, rate: float) -> Threshold:
    return calibrate(values, bundle="b", alert_rate=rate, created_at="2026-01-01T00:00:00Z")


def live_of(threshold: Threshold, live: Errors) -> npt.NDArray[np.int64]:
    return np.bincount(threshold.p_buckets(live), minlength=BUCKETS)


def move(current: Threshold, factor: float, count_: int = 50_000) -> Threshold:
    live = live_of(current, (errors(count_, 8) * factor).astype(np.float32))
    return move_threshold(current, live, created_at="2026-01-01T01:00:00Z", offsets={"t/0": 5})


def test_the_threshold_follows_by_steps_and_says_when_it_stops_at_its_bound() -> None:
    anchor = calibrate_at(errors(20_000, 1), 0.01)
    current, inflations = anchor, [anchor.inflation]
    for _ in range(40):
        after = move(current, 4.0)
        assert after.parent == current.digest()
        current = after
        inflations.append(current.inflation)
    steps = np.array(inflations[1:]) / np.array(inflations[:-1])
    assert steps.max() <= STEP + 1e-9
    assert current.cut == pytest.approx(anchor.cut * WITHIN, rel=1e-3)
    assert current.provenance.at_bound
    assert "the errors drift" in current.provenance.reason
    assert "more events than alert_rate are flagged" in current.provenance.reason
    back = move(current, 1.0)
    assert not back.provenance.at_bound
    assert "drift" not in back.provenance.reason


def test_live_events_that_are_harder_than_held_out_ones_meet_the_alert_rate_in_the_end() -> None:
    current = calibrate_at(errors(20_000, 1), 0.01)
    live = (errors(50_000, 8) * 1.15).astype(np.float32)
    assert current.flag(live).mean() > 0.014
    for _ in range(20):
        current = move(current, 1.15)
    assert current.flag(live).mean() == pytest.approx(0.01, rel=0.1)
    assert current.p_values(np.array([current.cut], np.float32))[0] == pytest.approx(0.01, rel=0.1)


def test_live_events_weigh_like_the_rows_of_the_calibration() -> None:
    threshold = calibrate_at(errors(20_000, 1), 0.01).model_copy(update={"evidence": 4.0})
    live = np.zeros(BUCKETS, np.int64)
    live[100], live[-1] = 6, 394  # 4 expected, 6 found: (4 + 6) / (4 + 4) = 1.25
    assert follow(threshold, live).inflation == pytest.approx(1.25, rel=1e-6)
    assert follow(threshold, live).evidence == pytest.approx(8.0)
    live[100] = 400  # a burst: one standard error, e^(1 / sqrt 4)
    assert follow(threshold, live).inflation == pytest.approx(math.exp(0.5), rel=1e-6)


def test_equal_errors_are_not_flagged_because_none_else_is() -> None:
    """A twentieth of the events have one and the same error, below the cut; a step down would flag them all."""
    threshold = calibrate_at(errors(20_000, 1), 0.01).model_copy(update={"evidence": 4.0})
    plateau = np.full(60, threshold.cut * 0.97, np.float32)
    live = live_of(threshold, np.concatenate([plateau, np.full(940, 0.5, np.float32)]))
    assert follow(threshold, live).cut == threshold.cut


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0.3, 5.0), st.integers(1, 5_000)), max_size=8), st.sampled_from([0.001, 0.02]))
def test_whatever_live_events_show_the_cut_stays_within_its_bound(steps: list[tuple[float, int]], rate: float) -> None:
    anchor = current = calibrate_at(errors(2_000, 1), rate)
    for factor, count_ in steps:
        current = move(current, factor, count_)
        assert anchor.cut / WITHIN <= current.cut * (1 + 1e-6) and current.cut <= anchor.cut * WITHIN * (1 + 1e-6)
        assert current.calibration_n >= anchor.n
        grid = np.geomspace(1e-3, 1e5, 300).astype(np.float32)
        p = current.p_values(grid)
        assert (np.diff(p) <= 1e-12).all() and p.min() >= 1 / (20 * current.calibration_n)


def test_no_step_is_due_before_a_tenth_of_the_evidence_is_new() -> None:
    threshold = calibrate_at(errors(20_000, 1), 0.01).model_copy(update={"evidence": 60.0})
    assert not is_due(threshold, live_of(threshold, errors(599, 2)))
    assert is_due(threshold, live_of(threshold, errors(600, 2)))


def test_a_new_version_on_misleading_rows_inherits_what_the_champions_cut_is_known_to_be() -> None:
    """The held-out rows lack large errors by chance; the two versions agree on most rows."""
    rng = np.random.default_rng(0)
    champion = calibrate_at(errors(200_000, 1), 0.002).model_copy(update={"evidence": 60.0})
    latent = np.minimum(rng.normal(size=2_000), 2.4)  # true share beyond: 0.8 %
    old, new = (np.exp(0.5 * (latent + rng.normal(0, 0.1, 2_000))).astype(np.float32) for _ in range(2))
    alone = calibrate_at(new, 0.002)
    carried = carry_over(alone, new, champion, old)
    live = errors(400_000, 5)
    assert alone.flag(live).mean() > 1.8 * 0.002
    assert abs(math.log(carried.flag(live).mean() / 0.002)) < 0.5 * abs(math.log(alone.flag(live).mean() / 0.002))
    assert alone.evidence < carried.evidence < 60.0
    unlike = carry_over(alone, new, champion, rng.permutation(old))
    assert abs(math.log(unlike.inflation)) < 0.3 * abs(math.log(carried.inflation))


def test_another_alert_rate_cuts_the_same_calibration_anew() -> None:
    threshold = move(calibrate_at(errors(20_000, 1), 0.01), 1.1)
    other = change_rate(threshold, 0.002, created_at="2026-01-01T02:00:00Z")
    assert other.provenance.kind == "operator"
    assert other.provenance.reason == "alert_rate changed from 0.01 to 0.002"
    assert other.parent == threshold.digest()
    assert (other.histogram, other.tail, other.inflation) == (threshold.histogram, threshold.tail, threshold.inflation)
    assert other.p_values(np.array([other.cut], np.float32))[0] == pytest.approx(0.002, rel=0.05)


def fold(state: PartitionState, threshold: Threshold, values: Errors) -> None:
    offsets = np.arange(state.next_offset, state.next_offset + len(values))
    times = EventTimes(offsets, offsets, 0)
    columns, none = Columns((offsets.astype(np.float64),)), np.zeros(len(values), np.bool_)
    state.fold(ScoredRows(offsets, times, columns, values, threshold.p_buckets(values), none, ~none), ())
    state.next_offset += len(values)


def test_each_live_event_is_counted_once_and_under_its_own_bundle() -> None:
    threshold, state, live = calibrate_at(errors(2_000, 1), 0.01), PartitionState(SPEC, "t", 0, 0, 0), LiveCounts()
    state.adopt(Versions("one", "x"))
    fold(state, threshold, errors(100, 1))
    held = [("t/0", state)]
    live.begin(held, "one")
    fold(state, threshold, errors(50, 2))
    assert live.fresh(held, "one").sum() == live.fresh(held, "one").sum() == 50
    live.take(held, "one")
    fold(state, threshold, errors(7, 2))
    assert live.fresh(held, "one").sum() == 7
    live.begin(held, "two")  # the partition has not switched yet
    assert live.fresh(held, "two").sum() == 0
    state.adopt(Versions("two", "y"))
    live.begin(held, "two")
    fold(state, threshold, errors(3, 2))
    assert live.fresh(held, "two").sum() == 3
    assert live.fresh(held, "one").sum() == 0
    first = LiveCounts()
    first.begin(held, "two", first=True)
    assert first.fresh(held, "two").sum() == 160


def test_an_absurd_event_is_critical_after_the_first_minutes_of_a_fast_stream() -> None:
    """1,000 events a second, 2,000 calibration rows: 1 / (20 n) is 2.5e-5 until live events bear the rows out."""
    current = calibrate_at(errors(2_000, 1), 0.001)
    absurd = np.array([60.0], np.float32)  # eight deviations of the logarithm
    severities = []
    for minute in range(3):
        severities.append(severity_of(float(score_of(current.p_values(absurd))[0])))
        current = follow(current, live_of(current, errors(60_000, 10 + minute)))
    assert severities == ["major", "critical", "critical"]
    plain = np.array([current.cut * 1.01], np.float32)
    assert severity_of(float(score_of(current.p_values(plain))[0])) == "minor"


def test_after_a_burst_the_cut_goes_on_rising_towards_its_target() -> None:
    threshold = calibrate_at(errors(20_000, 1), 0.01)
    burst = move(threshold, 2.0, 2_000)
    assert burst.inflation == pytest.approx(STEP, rel=1e-3)
    assert burst.target > 2 * burst.inflation
    quiet = move(burst, 1.0, 200)
    assert quiet.inflation == pytest.approx(STEP**2, rel=1e-3)
    assert quiet.target < burst.target
