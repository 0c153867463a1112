"""Scoring: the same bits anywhere, finite always, and every part of a row's error where it belongs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.examples import SPEC, rows
from training.fit import fit
from worker.core.columns import Columns, objects
from worker.core.detector import Detector
from worker.core.encode import Encoded

DETECTOR = fit(SPEC, rows(1_200), kind="denoising", seed=0).detector()
ROWS = rows(3_000, seed=5, missing=0.03)
ENCODED = DETECTOR.encoder.transform(ROWS)
ERRORS = DETECTOR.errors(ENCODED)


def part(encoded: Encoded, index: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Encoded:
    return Encoded(encoded.x[index], encoded.codes[index], encoded.missing[index], encoded.out_of_range[index])


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 1_500), st.integers(0, 10_000), st.sampled_from([1, 2]))
def test_a_rows_error_has_the_same_bits_in_any_batch(size: int, seed: int, threads: int) -> None:
    index = np.random.default_rng(seed).integers(0, len(ERRORS), size)
    torch.set_num_threads(threads)
    try:
        assert (DETECTOR.errors(part(ENCODED, index)) == ERRORS[index]).all()
    finally:
        torch.set_num_threads(1)


def test_an_explanation_has_the_bits_of_the_score_and_its_parts_make_it_up() -> None:
    why = DETECTOR.explain(ROWS.take(slice(100, 103)))
    assert (why.error == ERRORS[100:103]).all()
    assert why.per_feature.shape == (3, 5)
    assert why.per_feature.mean(1) == pytest.approx(why.error, rel=1e-5)
    assert why.code.shape == (3, 2)


def hostile() -> Columns:
    extreme = np.array([1e308, -1e308, np.nan, 0.0, 5e-324, float(2**60)])
    names = objects(["x", None, "never seen", "", "rare", "y"])
    flags = np.array([0.0, 1.0, np.nan, 0.0, 1.0, 0.0])
    return Columns((extreme, extreme, names, flags, np.abs(np.clip(extreme, -1e12, 1e12))))


def test_errors_are_positive_and_finite_for_any_row() -> None:
    errors = DETECTOR.errors(DETECTOR.encoder.transform(hostile()))
    assert np.isfinite(errors).all()
    assert (errors > 0).all()


def test_an_unseen_level_has_its_fixed_error_and_a_missing_number_the_typical_one() -> None:
    columns = rows(2, seed=9)
    columns.values[2][0] = "never seen"
    columns.values[0][1] = np.nan
    why = DETECTOR.explain(columns)
    normal = DETECTOR.normalisation
    fixed = 1.0 + (normal.unseen[2] - normal.mean[2]) / normal.sd[2]
    assert why.per_feature[0, 2] == pytest.approx(min(fixed, normal.cap), rel=1e-5)
    assert why.per_feature[1, 0] == 1.0


def test_no_part_is_larger_than_the_cap() -> None:
    why = DETECTOR.explain(hostile())
    assert why.per_feature.max() <= DETECTOR.normalisation.cap
    tight = Detector(
        DETECTOR.encoder, "denoising", DETECTOR.network.state_dict(), replace(DETECTOR.normalisation, cap=2.0)
    )
    assert tight.explain(hostile()).per_feature.max() == 2.0


def test_the_changed_feature_is_the_one_that_stands_out() -> None:
    columns = rows(200, seed=11)
    columns.values[1][:] *= 200.0
    why = DETECTOR.explain(columns)
    assert (why.per_feature.argmax(1) == 1).mean() > 0.9


def test_weights_of_another_shape_are_refused() -> None:
    weights = {name: tensor[:1] for name, tensor in DETECTOR.network.state_dict().items()}
    with pytest.raises(ValueError, match="weights do not fit"):
        Detector(DETECTOR.encoder, "denoising", weights, DETECTOR.normalisation)
