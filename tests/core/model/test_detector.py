"""Scoring: the same bits in any batch, finite for any row, and each feature's share of an error where it belongs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.examples import SHIPMENTS, SPEC, rows, shipments
from training.learn.fit import fit
from worker.core.events.columns import Columns, objects
from worker.core.events.spec import FeatureSpec
from worker.core.model.autoencoder import feature_errors
from worker.core.model.detector import EXPONENTS, Detector, Explanation
from worker.core.model.encoder import Encoded
from worker.core.model.error_kernel import PART_MOST
from worker.core.model.kinds import KINDS
from worker.core.model.tiles import to_tiles

DETECTOR = fit(SPEC, rows(1_200), kind="denoising", seed=0).detector()
ROWS = rows(3_000, seed=5, missing=0.03)
ENCODED = DETECTOR.encoder.transform(ROWS)
ERRORS = DETECTOR.errors(ENCODED)


def take(encoded: Encoded, index: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Encoded:
    return Encoded(encoded.x[index], encoded.codes[index], encoded.missing[index], encoded.out_of_range[index])


def explain(columns: Columns, detector: Detector = DETECTOR) -> tuple[Explanation, npt.NDArray[np.float32]]:
    """The explanations of all rows, and their errors."""
    found = detector.score(detector.encoder.transform(columns))
    return detector.explain(found, np.arange(len(columns))), found.errors


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 1_500), st.integers(0, 10_000), st.sampled_from([1, 2]))
def test_a_rows_error_has_the_same_bits_in_any_batch(size: int, seed: int, threads: int) -> None:
    index = np.random.default_rng(seed).integers(0, len(ERRORS), size)
    torch.set_num_threads(threads)
    try:
        assert (DETECTOR.errors(take(ENCODED, index)) == ERRORS[index]).all()
    finally:
        torch.set_num_threads(1)


def test_the_shares_of_an_explanation_add_up_to_the_error_and_have_the_same_bits_in_any_batch() -> None:
    rows = np.array([2_100, 5, 100])
    found = DETECTOR.score(ENCODED)
    why = DETECTOR.explain(found, rows)
    assert (found.errors == ERRORS).all()
    assert why.per_feature.shape == (3, 5)
    assert why.per_feature.sum(1) == pytest.approx(ERRORS[rows], rel=1e-5)
    assert found.code.shape == (len(ERRORS), 3)
    alone = explain(ROWS.take(rows))[0]
    assert (why.per_feature == alone.per_feature).all()
    assert (why.expected == alone.expected).all()


def test_the_error_is_the_geometric_mean_of_its_members_or_that_of_a_surprise_if_it_is_larger() -> None:
    found = DETECTOR.score(ENCODED)
    members = found.members.astype(np.float64)
    assert members.shape == (len(ERRORS), 3)
    assert np.exp(np.log(members) @ EXPONENTS) == pytest.approx(found.equivalents[0], rel=1e-5)
    assert sum(EXPONENTS) == pytest.approx(1.0)
    assert (np.max(found.equivalents, axis=0) == ERRORS).all()
    assert 0.0 < (np.max(found.equivalents[1:], axis=0) > found.equivalents[0]).mean() < 0.2


def test_a_feature_is_blamed_by_its_share_of_the_conditional_and_the_marginal_error() -> None:
    """The autoencoder's errors hardly count: an outlier disturbs all of its output."""
    columns = rows(200, seed=11)
    columns.values[0][:] = 30.0
    encoded, detector = DETECTOR.encoder.transform(columns), DETECTOR
    residuals = detector.conditional.residuals(to_tiles(encoded.x))
    conditional = detector.conditional.feature_errors(residuals, encoded.codes)
    marginal = detector.marginal.feature_errors(encoded)
    shares = sum(errors / errors.sum(1, keepdims=True) for errors in (conditional, marginal)) / 2
    why, error = explain(columns)
    assert why.per_feature / error[:, None] == pytest.approx(shares, abs=0.05)


def hostile() -> Columns:
    extreme = np.array([1e308, -1e308, np.nan, 0.0, 5e-324, float(2**60)])
    names = objects(["x", None, "never seen", "", "rare", "y"])
    flags = np.array([0.0, 1.0, np.nan, 0.0, 1.0, 0.0])
    return Columns((extreme, extreme, names, flags, np.abs(np.clip(extreme, -1e12, 1e12))))


def test_errors_are_positive_and_finite_for_any_row() -> None:
    errors = DETECTOR.errors(DETECTOR.encoder.transform(hostile()))
    assert np.isfinite(errors).all()
    assert (errors > 0).all()


def test_an_unseen_level_stands_out_and_a_missing_number_counts_by_its_being_missing_alone() -> None:
    columns = rows(2, seed=9)
    columns.values[2][0] = "never seen"
    columns.values[0][1] = np.nan
    why, _ = explain(columns)
    assert why.per_feature[0].argmax() == 2
    encoded = DETECTOR.encoder.transform(columns)
    # It is missing in no row of the training data: -log of half a row among all of them.
    assert DETECTOR.marginal.feature_errors(encoded)[1, 0] == pytest.approx(np.log(2 * 1_141), abs=0.01)
    by_member = DETECTOR.score(encoded).feature_errors
    assert (by_member[:2, 1, 0] == 0.0).all()
    assert (by_member[:2, 0, 0] > 0.0).all()


def test_no_feature_adds_more_than_the_cap() -> None:
    members = DETECTOR.score(DETECTOR.encoder.transform(hostile())).members
    assert members.max() <= PART_MOST


def test_the_changed_feature_is_the_one_that_stands_out() -> None:
    columns = rows(200, seed=11)
    columns.values[1][:] *= 200.0
    why, _ = explain(columns)
    assert (why.per_feature.argmax(1) == 1).mean() > 0.9


def test_a_mismatch_of_known_levels_is_flagged_and_blamed_on_the_level_that_is_off() -> None:
    detector = fit(SHIPMENTS, shipments(4_000), kind="denoising", seed=0, held_out=shipments(2_000, seed=1)).detector()
    columns = shipments(50, seed=2)
    carriers = columns.values[0].tolist()
    columns.values[1][:] = ["3" if carrier == "a" else "0" for carrier in carriers]
    why, errors = explain(columns, detector)
    normal = detector.errors(detector.encoder.transform(shipments(2_000, seed=3)))
    assert (errors > np.quantile(normal, 0.999)).all()
    first, second = np.argsort(-why.per_feature, axis=1)[:, :2].T
    assert (first == 1).mean() > 0.75
    assert ((first == 1) | (second == 1)).all()


def test_one_number_far_out_among_many_is_flagged_and_blamed() -> None:
    spec = FeatureSpec.model_validate({"features": [{"field": f"n{i}", "kind": "numeric"} for i in range(40)]})
    past, held_out, later = (np.random.default_rng(seed).normal(0, 1, (40, 2_000)) for seed in range(3))
    later[7, :20] = 6.0  # the mean error alone would not do: it drowns in that of the 39 others
    detector = fit(spec, Columns(tuple(past)), kind="denoising", seed=0, held_out=Columns(tuple(held_out))).detector()
    why, errors = explain(Columns(tuple(later)), detector)
    assert (errors[:20] > np.quantile(errors[20:], 0.999)).all()
    assert (why.per_feature[:20].argmax(1) == 7).all()


def test_weights_of_another_shape_are_refused() -> None:
    tensors = {
        name: tensor[:1] if name.startswith("autoencoder") else tensor for name, tensor in DETECTOR.tensors.items()
    }
    with pytest.raises(ValueError, match="weights do not fit"):
        Detector(DETECTOR.encoder, "denoising", tensors)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_serves_what_its_network_computes(kind: str) -> None:
    """The padded tiles give what the torch module gives for each row."""
    detector = fit(SPEC, rows(400), kind=kind, seed=3).detector()
    encoded, layout = detector.encoder.transform(rows(300, seed=8)), detector.encoder.layout
    with torch.inference_mode():
        x, codes = torch.from_numpy(encoded.x), torch.from_numpy(encoded.codes)
        plain = feature_errors(detector.network(x), x, codes, layout).clamp_max(PART_MOST).mean(1).numpy()
        code = detector.network.encode(x).numpy()
    known = (encoded.codes != [block.unseen for block in layout.categorical]).all(1)
    assert detector.score(encoded).members[known, 0] == pytest.approx(
        np.maximum(plain, 1e-3)[known], rel=1e-3, abs=1e-4
    )
    assert detector.score(encoded).code == pytest.approx(code, abs=1e-4)
