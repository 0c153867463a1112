"""The Pareto tail, against its formula computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.model.tail import Tail


def test_survival_by_hand() -> None:
    # At 5 the excess is 2 scales: (1 + 0.5 * 2)^-2 = 1/4 of the share. At 1 it is the share.
    heavy = Tail(start=1.0, shape=0.5, scale=2.0, share=0.02)
    assert heavy.survival(np.array([1.0, 5.0])) == pytest.approx([0.02, 0.005])
    exponential = Tail(start=1.0, shape=0.0, scale=2.0, share=0.02)
    assert exponential.survival(np.array([5.0])) == pytest.approx(0.02 / np.e**2)


def test_a_negative_shape_ends_the_tail() -> None:
    # Its end is at start - scale / shape = 5.
    tail = Tail(start=1.0, shape=-0.5, scale=2.0, share=0.02)
    assert tail.survival(np.array([3.0, 5.0, 9.0])).tolist() == pytest.approx([0.02 * 0.25, 0.0, 0.0])


@given(st.floats(-0.5, 0.9), st.floats(1e-3, 1e3), st.floats(1e-4, 1.0))
def test_error_at_is_the_inverse_of_survival(shape: float, scale: float, part: float) -> None:
    tail = Tail(start=1.0, shape=shape, scale=scale, share=0.05)
    p = part * tail.share
    assert tail.survival(np.array([tail.error_at(p)]))[0] == pytest.approx(p, rel=1e-3)


def test_a_shape_near_0_is_the_exponential() -> None:
    for shape in (1e-6, 1e-10, -1e-6):
        assert Tail(start=0.0, shape=shape, scale=1.0, share=1.0).error_at(np.exp(-3.0)) == pytest.approx(3.0, rel=1e-4)
