"""Surprises from counts: what never goes together stands out, what is always new does not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.examples import SHIPMENTS as PAIR
from tests.core.examples import SPEC, rows, shipments
from training.learn.count_combinations import Counted, count_combinations
from worker.core.events.columns import Columns, objects
from worker.core.events.spec import FeatureSpec
from worker.core.model.combinations import BIN_SHARES, COUNTS, EDGES, Combinations, tables_of
from worker.core.model.encoder import Encoder


def fitted(columns: Columns, spec: FeatureSpec = PAIR) -> tuple[Encoder, Combinations]:
    encoder = Encoder.fit(spec, columns)
    encoded = encoder.transform(columns)
    return encoder, Combinations(encoder, count_combinations(encoder, encoded, encoded))


ENCODER, COMBINATIONS = fitted(shipments(4_000))


def surprises(columns: Columns) -> npt.NDArray[np.float32]:
    return COMBINATIONS.surprises(ENCODER.transform(columns))


def event(carrier: str, zone: str, price: float) -> Columns:
    return Columns((objects([carrier]), objects([zone]), np.array([price])))


@pytest.mark.parametrize(
    ("changed", "blamed"),
    [
        (event("a", "2", 10.0), 1),  # two known levels that never go together, and a price that tells which is wrong
        (event("a", "0", 50.0), 2),  # a price that is common, but not for this carrier
        (event("c", "0", 10.0), 0),  # a carrier that was never seen
        (event("a", "9", 10.0), 1),
    ],
)
def test_what_never_goes_together_is_as_rare_as_anything_and_the_feature_that_is_off_is_blamed(
    changed: Columns, blamed: int
) -> None:
    normal = surprises(shipments(3_000, seed=1))
    assert surprises(changed)[0] > np.log(4_000) - 0.5
    assert (normal > np.log(4_000) - 0.5).mean() < 0.002
    blame = COMBINATIONS.blame(ENCODER.transform(changed))
    assert blame.sum() == pytest.approx(1.0)
    assert blame[0].argmax() == blamed


def test_a_new_combination_is_no_surprise_where_most_combinations_are_new() -> None:
    """Sixty users by forty pages: a fifth of the rows hold a pair that only they have seen."""
    rng = np.random.default_rng(3)
    spec = FeatureSpec.model_validate({"features": [{"field": f, "kind": "categorical"} for f in ("user", "page")]})

    def visits(n: int) -> Columns:
        user = rng.integers(0, 60, n)
        page = np.where(rng.random(n) < 0.5, user % 40, rng.integers(0, 40, n))  # half of the visits are to one's own
        return Columns((objects([f"u{u}" for u in user]), objects([f"p{p}" for p in page])))

    past, later = visits(1_500), visits(1_500)
    encoder, combinations = fitted(past, spec)
    found = combinations.surprises(encoder.transform(later))
    seen = set(zip(*past.values, strict=True))
    new = np.array([pair not in seen for pair in zip(*later.values, strict=True)])
    assert new.mean() > 0.1
    assert np.median(found[new]) < 3.5


def test_independent_features_have_no_table_that_counts() -> None:
    rng = np.random.default_rng(0)
    columns = Columns(
        (
            objects(rng.choice(["x", "y", "z"], 2_000).tolist()),
            objects(rng.choice(["k", "l"], 2_000).tolist()),
            rng.random(2_000),
        )
    )
    _, combinations = fitted(columns)
    assert {(table.left, table.right) for table, _ in combinations._served} == {(0, -1), (1, -1)}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(0, 1_000))
def test_the_compiled_lookup_is_the_largest_of_the_tables_whatever_the_batch(size: int, seed: int) -> None:
    columns = shipments(2_000, seed=2).take(np.random.default_rng(seed).integers(0, 2_000, size))
    encoded = ENCODER.transform(columns)
    cells = COMBINATIONS.cells(encoded)
    by_table = [
        surprise[cells[:, table.left], cells[:, table.right] if table.right >= 0 else 0]
        for table, surprise in COMBINATIONS._served
    ]
    found = COMBINATIONS.surprises(encoded)
    assert found == pytest.approx(np.maximum(np.max(by_table, axis=0), 0.0), rel=1e-6)
    alone = [COMBINATIONS.surprises(encoded.take(np.array([row])))[0] for row in range(min(size, 5))]
    assert alone == found[:5].tolist()


def counted_on(past: Columns, fresh: Columns) -> tuple[dict[str, torch.Tensor], Encoder, dict[str, torch.Tensor]]:
    """What a parent has counted in the past; its child's encoder, and what that has after the fresh rows."""
    parent = Encoder.fit(PAIR, past)
    encoded = parent.transform(past)
    before = count_combinations(parent, encoded, encoded)
    child = Encoder.fit(PAIR, fresh, parent)
    rows_of_fit = child.transform(fresh)
    return before, child, count_combinations(child, rows_of_fit, rows_of_fit, Counted(parent, before))


def test_a_childs_counts_are_its_parents_and_those_of_its_fresh_rows() -> None:
    past, fresh = shipments(3_000), shipments(500, seed=9)
    fresh.values[0][:50] = "new"  # takes a place among the levels and moves the others
    before, child, carried = counted_on(past, fresh)
    table = next(t for t in tables_of(child.layout) if (t.left, t.right) == (0, 1))
    joint = carried[COUNTS].numpy()[table.first :][: table.rows * table.columns].reshape(table.rows, table.columns)
    together = Columns.concat([past, fresh])
    codes = child.transform(together).codes
    expected = np.zeros_like(joint)
    np.add.at(expected, (codes[:, 0], codes[:, 1]), 1)
    assert (joint == expected).all()
    assert (carried[EDGES] == before[EDGES]).all()


def test_a_number_that_has_drifted_out_of_its_bins_gets_new_ones() -> None:
    past, fresh = shipments(3_000), shipments(800, seed=9)
    fresh.values[2][:] += 500.0
    _, child, carried = counted_on(past, fresh)
    assert carried[EDGES].min() > 400.0
    sizes = {
        (t.left, t.right): carried[COUNTS][t.first : t.first + t.rows * t.columns].sum()
        for t in tables_of(child.layout)
    }
    assert sizes[0, 2] == 800 and sizes[0, 1] == 3_800


def test_every_spec_has_tables_within_bounds_and_counts_of_another_shape_are_refused() -> None:
    columns = rows(600, missing=0.1)
    encoder, combinations = fitted(columns, SPEC)
    assert np.isfinite(combinations.surprises(encoder.transform(rows(50, seed=1, missing=0.5)))).all()
    encoded = encoder.transform(columns)
    tensors = count_combinations(encoder, encoded, encoded)
    assert tensors[EDGES].shape[1] == len(BIN_SHARES)
    for name, tensor in tensors.items():
        for bad in (tensor[:-1], torch.full_like(tensor, float("nan"))):
            with pytest.raises(ValueError, match=name):
                Combinations(encoder, tensors | {name: bad})
    with pytest.raises(ValueError, match="negative"):
        Combinations(encoder, tensors | {COUNTS: -1.0 - tensors[COUNTS]})
