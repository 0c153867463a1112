"""The robust location and scatter: by hand where symmetry allows it, and under contamination."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.learn.robust import scatter


def test_four_points_by_hand() -> None:
    """All lie equally far out, so all weigh the same: variances of 1/2, and a ridge of half of that on each."""
    location, precision = scatter(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 0.5)
    assert location == pytest.approx([0.0, 0.0])
    assert precision == pytest.approx(np.eye(2) / 0.75)


@given(st.integers(0, 1_000), st.lists(st.floats(-100, 100), min_size=3, max_size=3))
def test_a_shift_moves_the_location_alone(seed: int, shift: list[float]) -> None:
    y = np.random.default_rng(seed).standard_t(3, size=(60, 3))
    location, precision = scatter(y, 0.1)
    moved, same = scatter(y + shift, 0.1)
    assert moved == pytest.approx(location + shift, abs=1e-6)
    assert same == pytest.approx(precision, rel=1e-6)


def test_correlations_of_a_gaussian_are_found() -> None:
    covariance = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])
    y = np.random.default_rng(0).multivariate_normal(np.zeros(3), covariance, 20_000)
    found = np.linalg.inv(scatter(y, 0.0)[1])
    deviation = np.sqrt(np.diag(found))
    assert found / np.outer(deviation, deviation) == pytest.approx(covariance, abs=0.03)


def test_a_few_outliers_hardly_move_it() -> None:
    """3 % of the rows lie 50 standard deviations away: that moves the mean by 1.5 and turns the correlation round."""
    rng = np.random.default_rng(1)
    y = rng.multivariate_normal(np.zeros(2), [[1.0, -0.8], [-0.8, 1.0]], 2_000)
    y[:60] = 50.0 + rng.normal(size=(60, 2))
    assert y.mean(0) == pytest.approx([1.5, 1.5], abs=0.1)
    assert np.cov(y.T)[0, 1] > 50.0
    location, precision = scatter(y, 0.0)
    assert location == pytest.approx([0.0, 0.0], abs=0.1)
    assert -precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1]) == pytest.approx(-0.8, abs=0.15)
