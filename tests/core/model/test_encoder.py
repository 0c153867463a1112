"""Encoding: scales, levels, masks, and values back in original units."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.examples import SPEC, rows
from worker.core.events.columns import Columns, category, from_bytes, objects, to_bytes
from worker.core.events.spec import FeatureSpec
from worker.core.model.encoder import Encoder
from worker.core.model.scaling import CLIP

ENCODER = Encoder.fit(SPEC, rows(2_000))


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
    # There is no mask if training saw no missing value: the weights of its column would never have been trained.
    unmasked = ENCODER.transform(columns)
    assert not any(block.has_mask for block in ENCODER.layout.blocks)
    assert unmasked.x[0, ENCODER.layout.blocks[0].start] == 0.0
    assert unmasked.missing[:, 0].tolist() == [True, False]


def test_an_encoder_round_trips_to_the_same_bits() -> None:
    again = Encoder.from_json(SPEC, json.loads(json.dumps(ENCODER.to_json())))
    columns = rows(500, seed=3, missing=0.1)
    assert (again.transform(columns).x == ENCODER.transform(columns).x).all()
    with pytest.raises(ValueError, match="not an encoder"):
        Encoder.from_json(SPEC, {"parts": [None] * 5})


def test_expected_values_are_plausible() -> None:
    top = np.zeros((2, ENCODER.layout.blocks[2].levels), np.float32)
    top[0, 0] = top[1, 1] = 4.0
    first, second = ENCODER.expected(2, top)
    assert second[0]["value"] != "x"
    assert first[0]["value"] == "x"
    assert sum(level["probability"] for level in first) <= 1.0001
    assert all(level["value"] != "unseen" for level in first)
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
