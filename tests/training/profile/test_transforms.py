"""The transform of a number follows from the shape of its distribution: known shapes, and properties of the measure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.profile.evidence.transforms import choose_transform, distance_from_normal

Draw = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]
SKEWED: dict[str, Draw] = {
    "log-normal, sigma 0.4": lambda r, n: r.lognormal(3.0, 0.4, n),
    "log-normal, sigma 0.4, thousands": lambda r, n: r.lognormal(8.0, 0.4, n),
    "log-normal, sigma 0.9": lambda r, n: r.lognormal(4.0, 0.9, n),
    "log-normal, sigma 1.5, tens": lambda r, n: r.lognormal(2.0, 1.5, n),
    "log-normal, in steps of 1": lambda r, n: np.round(r.lognormal(5.0, 0.8, n)),
    "Pareto": lambda r, n: r.pareto(1.5, n) * 100.0,
}
PLAIN: dict[str, Draw] = {
    "normal": lambda r, n: r.normal(100.0, 10.0, n),
    "normal around 0": lambda r, n: r.normal(0.0, 10.0, n),
    "uniform": lambda r, n: r.uniform(0.0, 1_000.0, n),
    "exponential": lambda r, n: r.exponential(1_000.0, n),
    "gamma": lambda r, n: r.gamma(2.0, 100.0, n),
    "Laplace": lambda r, n: r.laplace(0.0, 10.0, n),
    "Poisson": lambda r, n: r.poisson(3.0, n).astype(np.float64),
    "retries": lambda r, n: r.choice([0.0, 1.0, 2.0], n, p=[0.8, 0.15, 0.05]),
    "a fraction": lambda r, n: r.beta(2.0, 5.0, n),
}


@pytest.mark.parametrize("name", SKEWED)
@pytest.mark.parametrize("rows", [1_000, 20_000])
def test_skewed_positives_get_a_log(name: str, rows: int) -> None:
    for seed in range(5):
        assert choose_transform(SKEWED[name](np.random.default_rng(seed), rows).tolist()) == "log"


@pytest.mark.parametrize("name", PLAIN)
def test_other_shapes_stay_as_they_are(name: str) -> None:
    for seed in range(5):
        assert choose_transform(PLAIN[name](np.random.default_rng(seed), 20_000).tolist()) == "none"


def test_heavy_tails_on_both_sides_get_an_asinh() -> None:
    generator = np.random.default_rng(0)
    assert choose_transform((generator.standard_cauchy(5_000) * 50.0).tolist()) == "asinh"
    signs = generator.choice([-1.0, 1.0], 5_000)
    assert choose_transform((signs * generator.lognormal(5.0, 1.5, 5_000)).tolist()) == "asinh"


def test_a_few_anomalies_do_not_decide() -> None:
    generator = np.random.default_rng(0)
    retries = generator.choice([0.0, 1.0, 2.0], 5_000, p=[0.8, 0.15, 0.05])
    retries[::700] = 14.0
    assert choose_transform(retries.tolist()) == "none"
    temperatures = generator.normal(20.0, 2.0, 5_000)
    temperatures[::1_000] = 90.0
    assert choose_transform(temperatures.tolist()) == "none"


def test_the_body_beside_a_point_mass_decides() -> None:
    """Bytes sent by requests, most of which send none."""
    generator = np.random.default_rng(0)
    sent = np.where(generator.random(5_000) < 0.7, 0.0, generator.lognormal(7.0, 0.6, 5_000))
    assert choose_transform(sent.tolist()) == "log"
    level = np.where(generator.random(5_000) < 0.7, 0.0, generator.normal(100.0, 10.0, 5_000))
    assert choose_transform(level.tolist()) == "none"


def test_too_little_to_see_a_shape() -> None:
    assert choose_transform([]) == "none"
    assert choose_transform([float("nan")] * 500) == "none"
    assert choose_transform([1.0, 2.0, 1e9] * 500) == "none"  # a code, not a measurement
    assert choose_transform(np.random.default_rng(0).lognormal(3.0, 0.5, 150).tolist()) == "none"


def test_the_distance_of_a_log_normal_is_that_of_its_quantiles() -> None:
    values = np.exp(0.4 * np.random.default_rng(0).standard_normal(200_000))
    z95, z99 = 1.6449, 2.3263
    spread = (np.exp(0.4 * z95) - np.exp(-0.4 * z95)) / (2 * z95)
    assert distance_from_normal(values) == pytest.approx((np.exp(0.4 * z99) - 1.0) / spread - z99, abs=0.05)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1_000), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_the_distance_depends_on_neither_unit_nor_origin(seed: int, scale: float, shift: float) -> None:
    values = np.random.default_rng(seed).gamma(2.0, 1.0, 500)
    assert distance_from_normal(values * scale + shift) == pytest.approx(distance_from_normal(values), rel=1e-6)
