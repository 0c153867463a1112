"""Encoding: scales, levels, masks, and values back in original units."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.examples import SPEC, rows
from worker.core.events.columns import Columns, Numbered, category, from_bytes, objects, to_bytes
from worker.core.events.spec import FeatureSpec
from worker.core.model.encoder import Encoder
from worker.core.model.scaling import CLIP, Scaling
from worker.core.model.vocabulary import Vocabulary

ENCODER = Encoder.fit(SPEC, rows(2_000))


def test_robust_scaling_gives_a_normal_the_sd_one_and_ignores_outliers() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(50, 4, 5_000), np.full(100, 1e9)])
    scaling = Scaling.fit(values, "none", "robust")
    assert scaling.apply(np.array([50.0, 54.0])) == pytest.approx([0.0, 1.0], abs=0.1)


@pytest.mark.parametrize("value", [0.0, 5.0, 1e9])
def test_one_unit_on_a_constant_counter_is_no_drama(value: float) -> None:
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


def test_far_values_are_clipped_and_marked() -> None:
    columns = rows(3)
    columns.values[0][0] = 1e300
    encoded = ENCODER.transform(columns)
    assert encoded.x[0, 0] == CLIP
    assert encoded.out_of_range[:, 0].tolist() == [True, False, False]


def test_missing_is_masked_and_imputed_by_the_median() -> None:
    columns = rows(2)
    columns.values[0][0] = np.nan
    encoder = Encoder.fit(SPEC, rows(300, missing=0.1))
    encoded = encoder.transform(columns)
    block = encoder.layout.blocks[0]
    assert encoded.x[0, block.start] == 0.0
    assert encoded.x[:, block.start + 1].tolist() == [1.0, 0.0]
    assert encoded.missing[:, 0].tolist() == [True, False]
    # Without a missing value in training there is no mask: its column would be noise that nobody trained.
    unmasked = ENCODER.transform(columns)
    assert not any(block.has_mask for block in ENCODER.layout.blocks)
    assert unmasked.x[0, ENCODER.layout.blocks[0].start] == 0.0
    assert unmasked.missing[:, 0].tolist() == [True, False]


def test_what_a_parent_knew_stays_known_behind_what_is_seen_now() -> None:
    parent = Vocabulary.fit(objects(["a"] * 5 + ["b"] * 3 + ["c"]), 2, "onehot")
    later = Vocabulary.fit(objects(["d"] * 4 + ["b"]), 3, "onehot", parent)
    assert later.top == ("d", "b", "a")
    assert later.rare == frozenset({"c"})
    assert later.lookup().codes(objects(["c", "never"])).tolist() == [3, 5]


def test_levels_top_other_missing_unseen() -> None:
    vocabulary = Vocabulary.fit(objects(["a"] * 5 + ["b"] * 3 + ["c", "200", True]), 2, "onehot")
    codes = vocabulary.lookup().codes(objects(["a", "b", "c", 200, True, None, "new", 1.5]))
    assert codes.tolist() == [0, 1, 2, 2, 2, 3, 4, 4]
    assert [vocabulary.name(level) for level in range(5)] == ["a", "b", "other", None, "unseen"]


def test_hashed_levels_are_stable_and_need_no_list() -> None:
    vocabulary = Vocabulary.fit(objects([str(i) for i in range(100_000)]), 16, "hash")
    codes = vocabulary.lookup().codes(objects(["7", 7, "\ud800", None]))
    assert codes[0] == codes[1]
    assert codes[3] == 16
    assert len(json.dumps(vocabulary.to_json())) < 200


def test_an_encoder_round_trips_to_the_same_bits() -> None:
    again = Encoder.from_json(SPEC, json.loads(json.dumps(ENCODER.to_json())))
    columns = rows(500, seed=3, missing=0.1)
    assert (again.transform(columns).x == ENCODER.transform(columns).x).all()
    with pytest.raises(ValueError, match="not an encoder"):
        Encoder.from_json(SPEC, {"parts": [None] * 5})


def test_expected_values_are_plausible() -> None:
    top = np.zeros((2, ENCODER.layout.blocks[2].levels), np.float32)
    top[0, 0] = top[1, 1] = 4.0
    likelier, second = ENCODER.expected(2, top)
    assert second[0]["value"] != "x"
    assert likelier[0]["value"] == "x"
    assert sum(level["probability"] for level in likelier) <= 1.0001
    assert all(level["value"] != "unseen" for level in likelier)
    assert ENCODER.expected(3, np.array([[0.0, 2.0, 0.0, 0.0, 0.0], [0.9, 0.1, 0.0, 0.0, 0.0]], np.float32)) == [
        True,
        False,
    ]
    assert ENCODER.expected(4, np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)) == ["06:00", "18:00"]


VALUE = st.none() | st.text(max_size=4) | st.integers() | st.booleans() | st.floats(allow_nan=False)


@given(st.lists(st.tuples(st.floats(), VALUE), min_size=1, max_size=20))
def test_columns_round_trip_canonically(pairs: list[tuple[float, object]]) -> None:
    spec = FeatureSpec(features=(SPEC.features[0], SPEC.features[2]))
    columns = Columns((np.array([n for n, _ in pairs]), objects([c for _, c in pairs])))
    raw = to_bytes(columns, spec)
    again = from_bytes(raw, spec)
    assert to_bytes(again, spec) == raw
    assert [category(value) for value in columns.values[1]] == again.values[1].tolist()


@pytest.mark.parametrize("buckets", [0, 4])
def test_numbered_scalars_get_the_levels_of_their_values(buckets: int) -> None:
    """Whatever number they came under, also those that came later and those of a scanner that has begun anew."""
    values = np.array([None, "a", "b", 1, 1.0, True, "true", "1", False, "zz"], object)
    lookup = Vocabulary(("a", "1", "true"), frozenset({"b"}), buckets).lookup()
    for order in (np.arange(10), np.arange(10)[::-1]):
        known = values[order].copy()
        later, known[6:] = known[6:].copy(), None
        first = np.array([0, 3, 3, 5, 1])
        assert lookup.codes(Numbered.of(known, first)).tolist() == lookup.codes(known[first]).tolist()
        known[6:] = later
        then = np.array([9, 8, 0, 7, 6, 6, 2, 4])
        assert lookup.codes(Numbered.of(known, then)).tolist() == lookup.codes(known[then]).tolist()


def test_a_part_of_a_numbered_column_is_an_ordinary_one() -> None:
    column = Numbered.of(np.array(["a", "b", None], object), np.array([1, 0, 1, 2]))
    lookup = Vocabulary(("b", "a"), frozenset(), 0).lookup()
    for part in (column[1:], column[np.array([3, 0])], np.concatenate((column, column[:2]))):
        assert lookup.codes(part).tolist() == [lookup.codes(np.array([value], object))[0] for value in part.tolist()]
