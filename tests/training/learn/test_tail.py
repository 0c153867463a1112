"""Fitting the tail: known distributions come back, and small or degenerate samples give none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.learn.tail import fit_tail


def test_a_pareto_tail_is_found_again() -> None:
    values = np.random.default_rng(0).pareto(3.0, 200_000) + 1.0  # excesses over u are generalised Pareto, shape 1/3
    tail = fit_tail(values, 0.02)
    assert tail is not None
    assert tail.shape == pytest.approx(1 / 3, abs=0.06)
    assert tail.error_at(1e-5) == pytest.approx(1e-5 ** (-1 / 3), rel=0.15)
    assert tail.survival(np.array([tail.error_at(1e-4)]))[0] == pytest.approx(1e-4)


def test_a_fit_by_hand() -> None:
    """90 zeros and the powers 2, 4, ..., 1024: the tail begins at 0.2, a tenth of the way from 0 to 2.

    b0 = (2046 - 2) / 10 = 204.4. With the weights 1.035 - j / 10, b1 = (1.035 * 2046 - 1843.4 - 0.97) / 10 = 27.324.
    The shape is 2 - b0 / (b0 - 2 b1) = 0.635077 alone. Its variance is 3.2116 / 10 (at the shape 0.4, the largest
    with a usable formula), that of the prior around 0.2 is 0.04: (0.635077 / 0.32116 + 0.2 / 0.04) / (1 / 0.32116
    + 1 / 0.04) is 0.248186, and the scale b0 (1 - shape) = 153.671.
    """
    tail = fit_tail(np.array([0.0] * 90 + [2.0**j for j in range(1, 11)]), 0.1)
    assert tail is not None
    assert (tail.start, tail.share) == pytest.approx((0.2, 0.1))
    assert (tail.shape, tail.scale) == pytest.approx((0.248186, 153.671), abs=1e-3)


def test_an_exponential_tail_has_shape_0_and_its_mean_as_scale() -> None:
    tail = fit_tail(np.random.default_rng(1).exponential(3.0, 200_000), 0.05)
    assert tail is not None
    assert (tail.shape, tail.scale) == pytest.approx((0.0, 3.0), abs=0.1)
    assert tail.start == pytest.approx(3.0 * np.log(20), rel=0.02)
    assert tail.share == pytest.approx(0.05)


def test_shapes_are_kept_where_moments_exist_and_tails_do_not_end_at_once() -> None:
    rng = np.random.default_rng(2)
    heavy, bounded = fit_tail(rng.pareto(0.3, 5_000) + 1.0, 0.1), fit_tail(rng.uniform(size=5_000), 0.1)
    assert heavy is not None and bounded is not None
    assert 0.7 < heavy.shape < 0.9
    assert -0.5 < bounded.shape < -0.4
    assert heavy.upper_shape is not None and bounded.upper_shape is not None
    assert heavy.shape < heavy.upper_shape < 1.0
    assert bounded.shape < bounded.upper_shape < 0.0


@given(st.integers(0, 1_000), st.floats(1e-3, 1e3))
def test_a_tail_scales_with_the_errors_and_does_not_depend_on_their_order(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    errors = rng.lognormal(size=500)
    one, other = fit_tail(errors, 0.1), fit_tail(rng.permutation(errors) * factor, 0.1)
    assert one is not None and other is not None
    assert (other.start, other.scale) == pytest.approx((one.start * factor, one.scale * factor), rel=1e-6)
    assert (other.shape, other.share) == pytest.approx((one.shape, one.share), abs=1e-6)


def test_too_few_or_equal_excesses_give_no_tail() -> None:
    errors = np.random.default_rng(3).lognormal(size=180)
    assert fit_tail(errors, 0.05) is None, "nine excesses"
    assert fit_tail(errors, 0.06) is not None, "eleven"
    assert fit_tail(np.ones(1_000), 0.05) is None
