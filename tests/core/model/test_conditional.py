"""The conditional error: residuals and nats against a Gaussian small enough to compute by hand, or another formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from training.learn.fit import fit
from worker.core.events.columns import Columns
from worker.core.events.spec import FeatureSpec
from worker.core.model.conditional import COLUMNS_MOST, Conditional, columns_of
from worker.core.model.error_kernel import LEAST_PROBABILITY, PART_MOST
from worker.core.model.layout import Layout, Transform, layout_of
from worker.core.model.scaling import Scaling
from worker.core.model.tiles import to_tiles
from worker.core.model.vocabulary import Vocabulary

SCALING = Scaling("none", 0.0, 1.0, 0.0, 1.0, constant=False)
NO_CODES = np.empty((1, 0), np.int64)


def layout(*transforms: Transform, window: int = 1, masked: bool = False) -> Layout:
    kinds = {Scaling: "numeric", Vocabulary: "categorical"}
    features = [
        {"field": f"f{i}", "kind": "cyclic", "period": "day"}
        if transform is None
        else {"field": f"f{i}", "kind": kinds[type(transform)]}
        for i, transform in enumerate(transforms)
    ]
    spec = FeatureSpec.model_validate({"features": features, "window": window, "entity": "e" if window > 1 else None})
    return layout_of(spec, transforms, [masked] * len(transforms))


def conditional(of: Layout, **arrays: Any) -> Conditional:
    return Conditional(of, {f"conditional.{name}": torch.tensor(array) for name, array in arrays.items()})


def errors(model: Conditional, row: list[float], codes: npt.NDArray[np.int64] = NO_CODES) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = model.feature_errors(
        model.residuals(to_tiles(np.array([row], np.float32))), codes
    )[0]
    return found


# Two numbers with correlation 1/2: given the other y', the value y has mean y' / 2 and variance 3/4.
HALF: dict[str, Any] = {"matrix": [[1.0, -0.5], [-0.5, 1.0]], "variance": [0.75, 0.75]}


def test_residuals_and_errors_of_two_correlated_numbers() -> None:
    model = conditional(layout(SCALING, SCALING), location=[0.0, 0.0], spread=[1.0, 1.0], **HALF)
    found = model.residuals(to_tiles(np.array([[2.0, 1.0], [1.0, -1.0]], np.float32)))
    assert found[:2, :2] == pytest.approx(np.array([[1.5, 0.0], [1.5, -1.5]]))
    # Half the squared residual over its variance.
    assert errors(model, [2.0, 1.0]) == pytest.approx([0.5 * 1.5**2 / 0.75, 0.0])
    assert errors(model, [2.0, -1.0]) == pytest.approx([0.5 * 2.5**2 / 0.75, 0.5 * 2.0**2 / 0.75])


def test_residuals_are_in_units_of_the_row_and_errors_do_not_depend_on_them() -> None:
    model = conditional(layout(SCALING, SCALING), location=[1.0, 0.0], spread=[2.0, 1.0], **HALF)
    # y = ((5 - 1) / 2, 1) = (2, 1), as above; a residual of 1.5 spreads is 3.
    assert model.residuals(to_tiles(np.array([[5.0, 1.0]], np.float32)))[0, :2] == pytest.approx([3.0, 0.0])
    assert errors(model, [5.0, 1.0]) == pytest.approx([0.5 * 1.5**2 / 0.75, 0.0], abs=1e-6)


def test_the_two_columns_of_a_time_count_as_one_feature() -> None:
    model = conditional(
        layout(None), location=[0.0, 0.0], spread=[1.0, 1.0], matrix=[[1.0, 0.0], [0.0, 1.0]], variance=[0.5, 2.0]
    )
    assert errors(model, [0.6, 0.8]) == pytest.approx([0.5 * (0.36 / 0.5 + 0.64 / 2.0) / 2])


def test_a_categorys_error_is_the_negative_log_of_its_probability() -> None:
    """With the identity as the matrix, the probabilities of the levels are the location, whatever the row."""
    probabilities = [0.7, 0.2, 0.1, 0.0, 0.0]
    model = conditional(
        layout(Vocabulary(("a", "b"), frozenset(), 0)),
        location=probabilities,
        spread=[1.0] * 5,
        matrix=np.eye(5).tolist(),
        variance=[1.0] * 5,
    )
    for level, p in enumerate(probabilities):
        row = [float(level == i) for i in range(5)]
        assert errors(model, row, np.array([[level]])) == pytest.approx([-np.log(max(p, LEAST_PROBABILITY))], rel=1e-5)


def test_no_error_is_above_the_cap() -> None:
    model = conditional(layout(SCALING, SCALING), location=[0.0, 0.0], spread=[1.0, 1.0], **HALF)
    assert errors(model, [1e4, 0.0])[0] == PART_MOST


def test_masks_take_no_part_and_the_event_comes_before_earlier_records() -> None:
    # A record is n, mask, sine, cosine, mask: its own columns are 0, 2 and 3 of 5.
    assert columns_of(layout(SCALING, None, window=2, masked=True)).tolist() == [0, 2, 3, 5, 7, 8]


def test_a_long_window_is_cut_to_whole_records() -> None:
    assert len(columns_of(layout(SCALING, None, window=128))) == 3 * 128 < COLUMNS_MOST
    wide = columns_of(layout(SCALING, SCALING, SCALING, None, window=128))
    assert wide.tolist() == list(range(510)), "102 records of five columns; one more would exceed 512"


def test_tensors_of_other_shapes_or_impossible_values_are_refused() -> None:
    good = {"location": [0.0, 0.0], "spread": [1.0, 1.0], **HALF}
    for wrong, said in (
        ({"spread": [1.0, 0.0]}, "not positive"),
        ({"variance": [1.0, -1.0]}, "not positive"),
        ({"location": [0.0, float("inf")]}, "conditional.location: not a finite tensor"),
        ({"matrix": [1.0, 1.0]}, r"conditional.matrix: not a finite tensor of shape \(2, 2\)"),
    ):
        with pytest.raises(ValueError, match=said):
            conditional(layout(SCALING, SCALING), **{**good, **wrong})


def test_the_fitted_mean_is_that_of_the_gaussian() -> None:
    """With numbers alone, the expected value is the regression on all the others, ridge included."""
    rng = np.random.default_rng(0)
    spec = FeatureSpec.model_validate({"features": [{"field": name, "kind": "numeric"} for name in "abc"]})
    mix = rng.normal(size=(3, 3))
    values = rng.normal(size=(4_000, 3)) @ mix
    detector = fit(spec, Columns(tuple(values.T)), kind="linear", seed=0).detector()
    new = Columns(tuple((rng.normal(size=(50, 3)) @ mix).T))
    encoded = detector.encoder.transform(new)
    x = encoded.x.astype(np.float64)
    expected = detector.explain(detector.score(encoded), np.arange(50)).expected
    tensors = {name: tensor.numpy().astype(np.float64) for name, tensor in detector.tensors.items()}
    y = (x - tensors["conditional.location"]) / tensors["conditional.spread"]
    precision = np.linalg.inv(np.linalg.inv(tensors["conditional.matrix"] / tensors["conditional.variance"]))
    for j in range(3):
        others = [i for i in range(3) if i != j]
        mean = -(y[:, others] @ precision[others, j]) / precision[j, j]
        unscaled = mean * tensors["conditional.spread"][j] + tensors["conditional.location"][j]
        assert expected[:, j] == pytest.approx(unscaled, abs=1e-3)
