"""Fitting: the same weights from the same seed, robust to contamination, better from a warm start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.core.examples import SPEC, rows
from training.learn.fit import fit
from worker.core.events.columns import Columns
from worker.core.model.detector import Detector

BASE = fit(SPEC, rows(1_500), kind="denoising", seed=0)
DETECTOR = BASE.detector()


def errors(detector: Detector, columns: Columns) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return detector.errors(detector.encoder.transform(columns))


def break_relation(seed: int) -> Columns:
    """Rows in which b does not depend on a."""
    columns = rows(300, seed)
    np.random.default_rng(seed).shuffle(columns.values[1])
    return columns


def test_the_same_seed_gives_the_same_weights_and_leaves_torch_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = fit(SPEC, rows(1_500), kind="denoising", seed=0)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(tensor, BASE.tensors[name]) for name, tensor in again.tensors.items())
    other = fit(SPEC, rows(1_500), kind="denoising", seed=1)
    assert not torch.equal(other.tensors["autoencoder.layers.0.weight"], BASE.tensors["autoencoder.layers.0.weight"])


def test_a_broken_relation_is_seen_though_every_value_is_ordinary() -> None:
    normal, odd = errors(DETECTOR, rows(1_000, seed=7)), errors(DETECTOR, break_relation(8))
    # The probability that a row with two unrelated values scores above a normal one; guessing gives one half.
    assert (odd[:, None] > normal[None, :]).mean() > 0.6


def test_outliers_in_the_warm_up_do_not_hide_later_ones() -> None:
    dirty = rows(1_500)
    wild = np.random.default_rng(0).choice(1_200, 45, replace=False)
    dirty.values[0][wild] = 60.0
    detector = fit(SPEC, dirty, kind="denoising", seed=0).detector()
    again = rows(200, seed=3)
    again.values[0][:] = 60.0
    assert np.median(errors(detector, again)) > np.quantile(errors(detector, rows(1_000, seed=4)), 0.99)


def shift(count: int, seed: int) -> Columns:
    columns = rows(count, seed)
    columns.values[0][:] += 3.0
    return columns


def test_a_warm_start_learns_a_shift() -> None:
    tuned = fit(SPEC, shift(3_000, 1), kind="denoising", seed=1, parent=DETECTOR).detector()
    new = shift(1_000, 2)
    assert errors(tuned, new).mean() < 0.9 * errors(DETECTOR, new).mean()


def test_another_kind_than_the_champions_is_trained_from_scratch() -> None:
    assert fit(SPEC, rows(600), kind="sparse", seed=1, parent=DETECTOR).kind == "sparse"


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="15 rows are too few"):
        fit(SPEC, rows(15), kind="denoising", seed=0)
