"""Scaling: standard deviations, robust and plain, and back in original units."""

from __future__ import annotations

import numpy as np
import pytest

from worker.core.model.scaling import Scaling


def test_robust_scaling_gives_a_normal_the_sd_one_and_ignores_outliers() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(50, 4, 5_000), np.full(100, 1e9)])
    scaling = Scaling.fit(values, "none", "robust")
    assert scaling.apply(np.array([50.0, 54.0])) == pytest.approx([0.0, 1.0], abs=0.1)


@pytest.mark.parametrize("value", [0.0, 5.0, 1e9])
def test_one_unit_on_a_constant_counter_is_one_standard_deviation_at_most(value: float) -> None:
    scaling = Scaling.fit(np.full(1_000, value), "none", "robust")
    assert scaling.constant
    assert abs(scaling.apply(np.array([value + 1.0]))[0]) <= 1.0
    assert scaling.apply(np.array([value]))[0] == 0.0


@pytest.mark.parametrize(("transform", "value"), [("none", 7.0), ("log", 1_000.0), ("asinh", -40.0)])
def test_transforms_invert(transform: str, value: float) -> None:
    values = np.linspace(-2_000, 2_000, 999)
    scaling = Scaling.fit(values, transform, "standard")  # type: ignore[arg-type]
    assert scaling.invert(scaling.apply(np.array([value]))) == pytest.approx(value)
    assert scaling.invert(np.array([1e6])) == 2_000
