"""Columns of events: their canonical bytes, and columns from tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worker.core.events.columns import Columns, Numbered, category, from_bytes, from_table, objects, to_bytes
from worker.core.events.spec import FeatureSpec

FEATURES = [
    {"field": "n", "kind": "numeric"},
    {"field": "proto", "kind": "categorical"},
    {"field": "ts", "kind": "cyclic", "period": "day"},
]
SPEC = FeatureSpec.model_validate({"features": FEATURES})
WINDOWED = FeatureSpec.model_validate({"features": FEATURES, "window": 2})


def columns(rows: list[tuple[float, Any, float]], lags: list[list[int]] | None = None) -> Columns:
    numbers, protocols, times = zip(*rows, strict=True)
    values = (np.array(numbers), objects(protocols), np.array(times))
    return Columns(values, None if lags is None else np.array(lags))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("200", "200"),
        (200, "200"),
        (200.0, "200"),
        (0.5, "0.5"),
        (2.0**60, "1.152921504606847e+18"),
        (True, "true"),
        (False, "false"),
        (None, None),
    ],
)
def test_a_category_has_one_text(value: Any, text: str | None) -> None:
    assert category(value) == text


def test_bytes_do_not_depend_on_how_a_category_was_written() -> None:
    written = columns([(1.0, 200, 5.0), (np.nan, None, np.nan)])
    as_text = columns([(1.0, "200", 5.0), (np.nan, None, np.nan)])
    assert to_bytes(written, SPEC) == to_bytes(as_text, SPEC)
    read = from_bytes(to_bytes(written, SPEC), SPEC)
    assert [column.tolist() for column in read.values[1:2]] == [["200", None]]
    assert read.values[0].tobytes() == written.values[0].tobytes()
    assert read.values[2].tobytes() == written.values[2].tobytes()


def test_bytes_do_not_depend_on_which_events_share_rows() -> None:
    a, b, unused = (1.0, "x", 0.0), (2.0, None, np.nan), (3.0, "z", 1.0)
    shared = columns([a, b], [[0, 1], [1, 1]])
    apart = columns([unused, b, a, b], [[2, 3], [1, 1]])
    assert to_bytes(shared, WINDOWED) == to_bytes(apart, WINDOWED)
    assert to_bytes(shared, WINDOWED) != to_bytes(columns([b, a], [[0, 1], [1, 1]]), WINDOWED)
    assert len(apart.compact().values[0]) == 3
    read = from_bytes(to_bytes(apart, WINDOWED), WINDOWED)
    assert read.lags is not None
    assert read.values[0][read.lags].tolist() == [[1.0, 2.0], [2.0, 2.0]]


@pytest.mark.parametrize("index", [slice(1, None), np.array([1])], ids=["slice", "array"])
def test_taken_events_keep_only_the_rows_of_their_windows(index: Any) -> None:
    taken = columns([(1.0, "x", 0.0), (2.0, "y", 0.0), (3.0, "z", 0.0)], [[1, 0], [2, 1]]).take(index)
    assert len(taken) == 1
    assert taken.values[0].tolist() == [2.0, 3.0]
    assert taken.newest().values[1].tolist() == ["z"]


def test_parts_are_joined_with_their_windows() -> None:
    one, two = columns([(1.0, "x", 0.0)], [[0, 0]]), columns([(2.0, "y", 0.0), (3.0, "z", 0.0)], [[1, 0]])
    joined = Columns.concat([Columns.empty(WINDOWED), one, two])
    assert joined.lags is not None
    assert joined.values[0][joined.lags].tolist() == [[1.0, 1.0], [3.0, 2.0]]
    assert len(Columns.concat([columns([(1.0, "x", 0.0)]), columns([(2.0, "y", 0.0)])])) == 2


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (FeatureSpec.model_validate({"features": FEATURES[:2]}), "3 columns for 2 of the spec"),
        (
            FeatureSpec.model_validate({"features": [FEATURES[1], FEATURES[0], FEATURES[2]]}),
            "proto: a column of another",
        ),
    ],
)
def test_bytes_of_another_spec_are_refused(spec: FeatureSpec, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        from_bytes(to_bytes(columns([(1.0, "x", 0.0)]), SPEC), spec)


def test_damaged_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="not columns"):
        from_bytes(b"\x93", SPEC)


def test_an_operation_on_a_numbered_column_gives_an_ordinary_one() -> None:
    column = Numbered.of(objects(["a", None, 7]), np.array([2, 0, 0, 1]))
    assert column.tolist() == [7, "a", "a", None]
    assert column.numbers is not None
    assert column[1:].tolist() == ["a", "a", None]
    assert getattr(column[1:], "numbers", None) is None


def test_a_table_is_read_by_field_and_an_absent_field_is_missing() -> None:
    read = from_table({"n": [1, None], "ts": ["1970-01-01T00:00:05Z", 7]}, SPEC)
    assert [repr(value) for value in read.values[0].tolist()] == ["1.0", "nan"]
    assert read.values[1].tolist() == [None, None]
    assert read.values[2].tolist() == [5.0, 7.0]
    with pytest.raises(ValueError, match="n: not numeric"):
        from_table({"n": ["x"]}, SPEC)
    for kind in ("delta", "unchanged"):
        with pytest.raises(ValueError, match="n: not numeric"):
            from_table({"n": ["x"]}, FeatureSpec.model_validate({"features": [{"field": "n", "kind": kind}]}))
