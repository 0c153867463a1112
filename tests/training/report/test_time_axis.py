"""The axis of event time: ticks at round times of UTC, and a span that one wrong clock does not stretch."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.report.time_axis import TICKS, time_axis, time_span
from worker.core.events.event_time import LATEST_MS

DAY = 86_400_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("low", "high", "texts", "name"),
    [
        ("2025-10-09T09:59:46", "2025-10-09T10:00:03", ["09:59:50", "09:59:55", "10:00:00"], "9 Oct 2025"),
        ("2025-10-09T08:53", "2025-10-10T07:06", ["12:00", "18:00", "10 Oct", "06:00"], "9 Oct 2025 to 10 Oct 2025"),
        ("2025-10-09", "2025-10-13", ["9 Oct", "10 Oct", "11 Oct", "12 Oct", "13 Oct"], "9 Oct 2025 to 13 Oct 2025"),
        ("2024-11-15", "2025-03-20", ["Dec 2024", "Jan 2025", "Feb 2025", "Mar 2025"], "15 Nov 2024 to 20 Mar 2025"),
        ("2015-06-01", "2025-06-01", ["2016", "2018", "2020", "2022", "2024"], "1 Jun 2015 to 1 Jun 2025"),
    ],
)  # fmt: skip
def test_ticks_are_round_times(low: str, high: str, texts: list[str], name: str) -> None:
    made = time_axis(ms(low), ms(high))
    assert [text for _, text in made.ticks] == texts
    assert made.name == f"event time (UTC), {name}"


@given(st.integers(0, LATEST_MS), st.integers(0, LATEST_MS))
def test_any_span_has_few_rising_ticks_within_it(a: int, b: int) -> None:
    made = time_axis(min(a, b), max(a, b))
    at = [time for time, _ in made.ticks]
    assert made.low < made.high and len(at) <= TICKS + 1
    assert at == sorted(set(at)) and all(made.low <= time <= made.high for time in at)
    assert all(len(text) <= 16 for _, text in made.ticks) and len(made.name) <= 52


def test_a_wrong_clock_does_not_stretch_the_span() -> None:
    times = np.arange(10_000) * 1_000 + 1_760_000_000_000
    assert time_span(times) == (times[0], times[-1])
    wrong = times.copy()
    wrong[500] = 0
    low, high = time_span(wrong)
    assert times[0] <= low < high <= times[-1] and high - low > 0.99 * (times[-1] - times[0])
    assert time_span(np.array([5, 5, 5])) == (5, 5)
    assert time_span(np.array([0, 5, DAY])) == (0, DAY)
