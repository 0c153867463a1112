"""Durations by powers of two."""

from __future__ import annotations

import numpy as np

from worker.log_histogram import LogHistogram


def test_histogram_bounds_are_inclusive_and_negative_durations_count_as_none() -> None:
    histogram = LogHistogram()
    histogram.observe(np.array([1.0, -3.0, 1.001, 1e9]))
    histogram.observe(2.0)
    cumulative = dict(histogram.cumulative())
    assert cumulative[2.0**-12] == 1
    assert cumulative[1.0] == 2
    assert cumulative[2.0] == 4
    assert cumulative[4096.0] == 4
    assert cumulative[float("inf")] == 5
