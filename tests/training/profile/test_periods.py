"""A rhythm is proposed once it is there twice, and what is left out is said."""

from __future__ import annotations

import numpy as np
import pytest

from training.profile.evidence.periods import DAY_MS, HOUR_MS, choose_periods, span_ms

START = 1_767_225_600_000.0


def chosen(days: float, *, whole_days: bool = False) -> tuple[list[str], list[str], str]:
    times = START + np.linspace(0.0, days * DAY_MS, 2_000)
    features, later, reason = choose_periods("ts", times, whole_days=whole_days)
    return [feature["period"] for feature in features], [feature["period"] for feature in later], reason


def test_a_day_needs_two_days_and_a_week_two_weeks() -> None:
    periods, later, reason = chosen(1.99)
    assert (periods, later) == ([], ["day", "week"])
    assert reason.startswith("the sample covers 47.8 hours; the time of day needs two days and the day of the week")
    assert chosen(2.01)[:2] == (["day"], ["week"])
    assert "the day of the week needs two weeks; add it once" in chosen(13.9)[2]
    assert chosen(14.01) == (["day", "week"], [], "")


def test_dates_have_no_time_of_day() -> None:
    assert chosen(10, whole_days=True)[:2] == ([], ["week"])
    assert chosen(15, whole_days=True) == (["week"], [], "")


def test_a_stray_time_adds_no_periods() -> None:
    times = START + np.linspace(0.0, 6 * HOUR_MS, 2_000)
    times[5], times[6] = 0.0, np.nan
    assert span_ms(times) == pytest.approx(6 * HOUR_MS, rel=0.02)
    assert span_ms(np.array([np.nan, START])) == 0.0
