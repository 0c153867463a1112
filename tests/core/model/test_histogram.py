"""Histograms against bounds computed by hand and plain counting."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.model.histogram import BUCKETS, RING_HOURS, HistogramRing, bucket_of, count, edges

HOUR_MS = 3_600_000
VALUES = st.floats(0.0, 2.0**25, width=32)


def array(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, np.float32)


@given(st.floats(2**-19, 2**19, width=32))
def test_a_bucket_holds_its_value_and_is_narrow(value: float) -> None:
    bucket = int(bucket_of(array(value))[0])
    low, high = edges()[bucket : bucket + 2]
    assert low <= value < high
    assert high / low <= 1.0 + 1 / 32 + 1e-9


def test_an_octave_has_32_equal_buckets_and_the_first_begins_at_2_to_the_minus_20() -> None:
    assert bucket_of(array(2.0**-20, 1.0, 1.0 + 1 / 32, 1.5, 2.0)).tolist() == [0, 640, 641, 656, 672]
    assert edges()[[0, 640, 641, 656, 672, 1_280]].tolist() == [2.0**-20, 1.0, 1.0 + 1 / 32, 1.5, 2.0, 2.0**20]


def test_values_outside_the_range_fall_into_the_end_buckets() -> None:
    assert bucket_of(array(0.0, 1e-30, 3e38, np.inf)).tolist() == [0, 0, BUCKETS - 1, BUCKETS - 1]


@given(st.lists(VALUES, min_size=1), st.lists(VALUES, min_size=1))
def test_counts_of_two_sets_add(a: list[float], b: list[float]) -> None:
    together = count(array(*a, *b))
    assert (count(array(*a)) + count(array(*b)) == together).all()
    assert together.sum() == len(a) + len(b)


@given(VALUES, VALUES)
def test_a_larger_value_has_no_lower_bucket(a: float, b: float) -> None:
    low, high = bucket_of(array(min(a, b), max(a, b)))
    assert low <= high


# The ring.

EVENTS = st.lists(st.tuples(st.integers(0, 2 * HOUR_MS), st.integers(0, BUCKETS - 1)), min_size=1, max_size=40)


@given(EVENTS, st.integers(1, 40))
def test_a_ring_counts_by_hour_whatever_the_batches(events: list[tuple[int, int]], size: int) -> None:
    clock, buckets = np.cumsum([step for step, _ in events]), np.array([bucket for _, bucket in events])
    ring = HistogramRing()
    for start in range(0, len(events), size):
        ring.count(clock[start : start + size], buckets[start : start + size])
    expected = Counter(zip((clock // HOUR_MS).tolist(), buckets.tolist(), strict=True))
    kept = sorted({hour for hour, _ in expected})[-RING_HOURS:]
    found = {(hour, int(b)): int(counts[b]) for hour, counts in ring.hours.items() for b in np.flatnonzero(counts)}
    assert found == {key: number for key, number in expected.items() if key[0] in kept}


def test_a_ring_keeps_the_24_latest_hours_that_had_events() -> None:
    ring = HistogramRing()
    for hour in (*range(10), *range(100, 120)):
        ring.count(np.array([hour * HOUR_MS]), np.array([7]))
    assert sorted(ring.hours) == [6, 7, 8, 9, *range(100, 120)]
    assert ring.total()[7] == ring.total().sum() == 24


def test_rings_merge_hour_by_hour() -> None:
    one, other = HistogramRing(), HistogramRing()
    one.count(np.array([0, HOUR_MS]), np.array([3, 4]))
    other.count(np.array([HOUR_MS, 2 * HOUR_MS]), np.array([4, 5]))
    merged = HistogramRing.merge([one, other])
    assert sorted(merged.hours) == [0, 1, 2]
    assert [int(merged.hours[hour][bucket]) for hour, bucket in ((0, 3), (1, 4), (2, 5))] == [1, 2, 1]
    assert int(one.hours[1][4]) == 1, "the rings that were merged stay as they were"


@pytest.mark.parametrize("rings", [[], [HistogramRing()]])
def test_a_ring_without_events_counts_nothing(rings: list[HistogramRing]) -> None:
    total = HistogramRing.merge(rings).total()
    assert total.shape == (BUCKETS,)
    assert not total.any()
