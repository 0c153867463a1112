"""What other alert rates would give: each version's own cut at that rate, and noise control over those flags."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.evaluate.scored import evaluation
from training.evaluate.alert_rates import RATES, at_rates, flagged_at, threshold_at
from training.evaluate.noise_control import published
from training.learn.calibrate import calibrate, with_inflation
from worker.core.model.threshold import Threshold


def test_at_the_configured_rate_the_same_rows_are_flagged_and_alerted() -> None:
    outcome = evaluation().outcome
    assert (flagged_at(outcome, 0.03) == outcome.flagged).all()
    assert (published(outcome.flagged, outcome.arrivals, 60_000) == outcome.alerted).all()
    assert 0 < outcome.alerted.sum() < outcome.flagged.sum()


def test_a_threshold_at_another_rate_is_what_calibration_would_make_of_the_same_errors() -> None:
    errors = np.random.default_rng(0).gamma(2.0, 1.0, 4_000).astype(np.float32)

    def made(rate: float) -> Threshold:
        return with_inflation(calibrate(errors, bundle="b", alert_rate=rate, created_at=""), 1.3)

    moved = threshold_at(made(0.01), 0.002)
    assert moved.alert_rate == 0.002
    assert moved.cut == pytest.approx(made(0.002).cut, rel=1e-6)
    assert (errors > threshold_at(made(0.01), 0.05).cut).mean() == pytest.approx(0.05 / 1.3, rel=0.1)


def test_the_counts_at_each_rate() -> None:
    outcome, table = evaluation().outcome, evaluation().table
    assert table.labels is not None
    labels = table.labels[outcome.first :]
    found = at_rates(outcome, labels, alert_rate=0.03, cooldown_ms=60_000, days=0.5)
    assert [rate["alert_rate"] for rate in found] == sorted([*RATES, 0.03])
    assert [rate["alert_rate"] for rate in found if rate["configured"]] == [0.03]
    counts = [rate["flagged"] for rate in found]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    for rate in found:
        flagged = flagged_at(outcome, rate["alert_rate"])
        assert rate["flagged"] == flagged.sum() and rate["flagged_share"] == flagged.mean()
        assert rate["alerts"] <= rate["flagged"] and rate["alerts_per_day"] == 2 * rate["alerts"]
        assert rate["recall"] == flagged[labels].mean()
        assert rate["precision"] == (labels[flagged].mean() if flagged.any() else None)
    bare = at_rates(outcome, None, alert_rate=0.01, cooldown_ms=60_000, days=None)
    assert len(bare) == len(RATES)
    assert {(rate["recall"], rate["precision"], rate["alerts_per_day"]) for rate in bare} == {(None, None, None)}


def test_alerts_a_day_are_of_the_scored_rows_event_time() -> None:
    evaluated = evaluation()
    times = evaluated.outcome.arrivals.times.times
    days = (times[-1] - times[0]) / 86_400_000
    assert 0.01 < days < 0.1
    assert evaluated.summary["alerts_per_day"] == pytest.approx(evaluated.summary["alerts"] / days)
