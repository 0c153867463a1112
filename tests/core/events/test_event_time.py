"""Event times as events write them, and the partition's clock."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.events.event_time import HOUR_MS, LATEST_MS, event_times, milliseconds, milliseconds_of

NAN = float("nan")


def test_without_an_event_time_the_records_counts_and_a_future_one_is_replaced() -> None:
    record = np.array([1_000, 2_000, 3_000])
    found = event_times(np.array([NAN, 3_000 + 2.0 * HOUR_MS, 500.0]), record, 900)
    assert found.times.tolist() == [1_000, 2_000, 500]
    assert found.future == 1
    assert found.clock.tolist() == [1_000, 2_000, 2_000]


def test_without_any_time_the_clock_stands() -> None:
    found = event_times(np.array([NAN, NAN]), np.array([-1, -1]), 77)
    assert found.times.tolist() == [77, 77]
    assert found.clock.tolist() == [77, 77]


@given(st.lists(st.integers(0, 50 * HOUR_MS), min_size=1, max_size=30), st.integers(0, 30))
def test_one_record_moves_the_clock_an_hour_at_most_and_batches_do_not_matter(times: list[int], cut: int) -> None:
    event, record = np.array(times, np.float64), np.full(len(times), -1)
    expected, clock = [], times[0]
    for time in times:
        clock = max(clock, min(time, clock + HOUR_MS))
        expected.append(clock)
    assert event_times(event, record, None).clock.tolist() == expected
    first = event_times(event[:cut], record[:cut], None) if cut else None
    before = int(first.clock[-1]) if first is not None else None
    rest = event_times(event[cut:], record[cut:], before) if cut < len(times) else None
    joined = [*(first.clock.tolist() if first else []), *(rest.clock.tolist() if rest else [])]
    assert joined == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_an_array_of_numbers_gives_the_times_of_one_by_one(values: list[float]) -> None:
    found, fine = milliseconds_of(np.array(values))
    for value, stamp, good in zip(values, found.tolist(), fine.tolist(), strict=True):
        if good:
            assert stamp == milliseconds(value)
        else:
            with pytest.raises(ValueError, match="time"):
                milliseconds(value)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("2026-01-01T06:00:00Z", 1_767_247_200_000.0),
        ("2026-01-01T06:00:00", 1_767_247_200_000.0),
        ("2026-01-01T06:00:00+02:00", 1_767_240_000_000.0),
        (1_767_247_200, 1_767_247_200_000.0),
        (1_767_247_200_000, 1_767_247_200_000.0),
        ("9999-12-31T23:59:59.999Z", LATEST_MS),
        (LATEST_MS, LATEST_MS),
    ],
)
def test_a_time_is_text_or_seconds_or_milliseconds(value: str | float, wanted: float) -> None:
    assert milliseconds(value) == wanted


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("yesterday", "not a time in ISO 8601"),
        (float("inf"), "not a finite time"),
        (LATEST_MS + 1, "outside the years 0 to 9999"),
        (-LATEST_MS - 1, "outside the years 0 to 9999"),
    ],
)
def test_a_refused_time_has_a_reason(value: str | float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        milliseconds(value)
