"""Times within a period, against the calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.model.periods import SECONDS, angles_of, instant_of, texts_of


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "time", "turn"),
    [
        ("hour", "2026-03-10 07:15:00", 1 / 4),
        ("day", "2026-03-10 06:00:00", 1 / 4),
        ("week", "2026-03-09 00:00:00", 0.0),  # a Monday
        ("week", "2026-03-12 12:00:00", 1 / 2),
        ("year", "1970-07-02 14:54:36", 1 / 2),
    ],
)
def test_angles(period: str, time: str, turn: float) -> None:
    assert angles_of(np.array([seconds(time)]), period)[0] == pytest.approx(2 * np.pi * turn)


@given(st.sampled_from(["hour", "day", "week"]), st.integers(0, 10 * 365 * 1_440), st.floats(0.1, 10.0))
def test_an_angle_is_read_as_the_time_that_it_stands_for(period: str, minute: int, length: float) -> None:
    time = 60.0 * minute + 30.0  # the middle of a minute: rounding does not show
    angle = angles_of(np.array([time]), period)
    pattern = {"hour": "xx:%M", "day": "%H:%M", "week": "%a %H:%M"}[period]
    text = datetime.fromtimestamp(time, UTC).strftime(pattern)
    assert texts_of(length * np.sin(angle), length * np.cos(angle), period) == [text]


def test_a_place_in_the_year_is_a_day() -> None:
    angle = angles_of(np.array([seconds("1970-03-15 12:00:00")]), "year")
    assert texts_of(np.sin(angle), np.cos(angle), "year") == ["03-15"]
    assert SECONDS["year"] == 365.2425 * 86_400


def test_instants() -> None:
    assert instant_of(seconds("2026-03-10 14:30:00")) == "2026-03-10T14:30:00Z"
    assert instant_of(0.25) == "1970-01-01T00:00:00.250000Z"
