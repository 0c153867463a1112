"""The furthest number of a row, and the error that is as rare as a surprise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.learn.surprises import align, fit_tails
from worker.core.events.columns import Columns
from worker.core.events.spec import FeatureSpec
from worker.core.model.alignment import PREFIX, Alignment
from worker.core.model.encoder import Encoder
from worker.core.model.error_kernel import PART_MOST
from worker.core.model.extremes import MOST, TABLE, Extremes

SPEC = FeatureSpec.model_validate({"features": [{"field": f"n{i}", "kind": "numeric"} for i in range(8)]})


def numbers(n: int, seed: int = 0) -> Columns:
    return Columns(tuple(np.random.default_rng(seed).normal(0, 1, (8, n))))


PAST = numbers(5_000)
ENCODER = Encoder.fit(SPEC, PAST)
EXTREMES = Extremes(ENCODER.layout, fit_tails(ENCODER.layout, ENCODER.transform(PAST)))


@pytest.mark.parametrize("value", [-7.0, 7.0])
def test_one_number_that_is_far_out_is_as_surprising_as_it_is_far(value: float) -> None:
    one = numbers(3, seed=2)
    one.values[4][:] = [0.0, value, 0.0]
    one.values[5][2] = np.nan
    encoded = ENCODER.transform(one)
    by_feature = EXTREMES.feature_surprises(encoded)
    assert by_feature[1].argmax() == 4
    # From 1.645 to 2.576 a normal distribution's tail falls by one tenth: 2.47 nats a unit.
    assert by_feature[1, 4] == pytest.approx(np.log(20) + (7.0 - 1.645) * 2.47, rel=0.1)
    assert by_feature[2, 5] == 0.0
    assert (EXTREMES.surprises(encoded) == by_feature.max(1)).all()


def test_a_surprise_is_bounded_for_any_number() -> None:
    wild = Columns(tuple(np.full(2, v) for v in (1e308, -1e308, np.nan, 0.0, 5e-324, 1e30, -1.0, 1.0)))
    found = EXTREMES.surprises(ENCODER.transform(wild))
    assert np.isfinite(found).all() and found.max() <= MOST


@pytest.mark.parametrize("tails", [torch.zeros(7, 4), torch.full((8, 4), float("nan")), torch.zeros(8, 4)])
def test_tails_that_no_fit_gives_are_refused(tails: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=TABLE):
        Extremes(ENCODER.layout, {TABLE: tails})


def test_a_surprise_becomes_the_error_that_is_as_rare() -> None:
    rng = np.random.default_rng(0)
    errors, nats = np.exp(rng.normal(0, 1, 5_000)), rng.exponential(1.0, 5_000)
    aligned = Alignment("extremes", align("extremes", errors.astype(np.float32), nats.astype(np.float32), 0.0))
    for share in (0.1, 0.02, 0.003):
        surprise = np.quantile(nats, 1.0 - share).astype(np.float32)
        assert np.log(aligned.errors(np.array([surprise]))[0]) == pytest.approx(
            np.log(np.quantile(errors, 1.0 - share)), abs=0.12
        )
    assert aligned.errors(np.array([0.0], np.float32))[0] == 0.0


def test_a_surprise_that_must_be_rarer_counts_as_a_more_common_error() -> None:
    rng = np.random.default_rng(1)
    errors, nats = np.exp(rng.normal(0, 1, 5_000)).astype(np.float32), rng.exponential(1.0, 5_000).astype(np.float32)
    aligned = Alignment("extremes", align("extremes", errors, nats, 2.0))
    surprise = np.quantile(nats, 1.0 - 0.01)
    at = float(aligned.errors(np.array([surprise], np.float32))[0])
    assert at == pytest.approx(float(np.quantile(errors, 1.0 - 0.01 * np.exp(2.0))), rel=0.1)


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_a_surprise_that_all_rows_share_does_not_count(constant: float) -> None:
    errors = np.exp(np.random.default_rng(2).normal(0, 1, 500)).astype(np.float32)
    aligned = Alignment("extremes", align("extremes", errors, np.full(500, constant, np.float32), 0.0))
    assert aligned.errors(np.array([constant], np.float32))[0] == 0.0


@settings(max_examples=60, deadline=None)
@given(st.integers(32, 600), st.integers(0, 10_000), st.floats(0.0, 4.0), st.sampled_from([0, 1, 3]))
def test_an_alignment_rises_whatever_the_rows(n: int, seed: int, behind: float, digits: int) -> None:
    rng = np.random.default_rng(seed)
    errors = np.exp(rng.standard_t(2, n).clip(-7, 14)).astype(np.float32)
    nats = np.round(rng.exponential(rng.uniform(0.01, 8.0), n), digits).clip(0, 60).astype(np.float32)
    aligned = Alignment("extremes", align("extremes", errors, nats, behind))
    found = aligned.errors(np.linspace(0, 80, 500).astype(np.float32))
    assert (found <= PART_MOST * 1.001).all() and (np.diff(found) >= -1e-6 * found[1:]).all()


@pytest.mark.parametrize(
    "points", [[[0.0, 1.0]], [[1.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]], [[0.0, 0.0], [1.0, float("inf")]]]
)
def test_points_that_do_not_rise_are_refused(points: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="alignment"):
        Alignment("extremes", {PREFIX + "extremes": torch.tensor(points, dtype=torch.float64)})


def test_a_surprise_a_little_beyond_all_that_were_seen_is_only_a_little_rarer() -> None:
    rng = np.random.default_rng(4)
    errors, nats = np.exp(rng.normal(0, 1, 500)), rng.uniform(4.9, 5.0, 500)
    aligned = Alignment("extremes", align("extremes", errors.astype(np.float32), nats.astype(np.float32), 0.0))
    seen, beyond = (float(aligned.errors(np.array([surprise], np.float32))[0]) for surprise in (5.0, 5.5))
    assert seen < beyond < 2.0 * float(np.quantile(errors, 1.0 - 0.01 * np.exp(-0.5)))
