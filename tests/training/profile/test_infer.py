"""Infers features: kinds from the types of the whole column, everything else from its first rows."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.demo.run import KDD
from training.profile.infer import infer_features
from training.tables.table import Table, read_table
from worker.core.events.columns import from_table
from worker.core.events.spec import FeatureSpec
from worker.errors import ConfigError


def table(**columns: list[Any]) -> Table:
    return Table(columns, None, len(next(iter(columns.values()))))


def features(**columns: list[Any]) -> dict[str, dict[str, Any]]:
    return {feature["field"]: feature for feature in infer_features(table(**columns))}


def heavy(rows: int) -> list[float]:
    """One value in a hundred is 10,000; the others are between 0 and 1."""
    return [10_000.0 if i % 100 == 7 else (i * 37 % 100) / 100 for i in range(rows)]


def test_kinds_by_type() -> None:
    inferred = features(
        flag=[True, None, False, True],
        whole=[1, 2, None, 2],
        real=[0.5, 1, None, 0.5],
        code=["a", "b", None, "a"],
        mixed=[1, "x", None, 2.5],
        flags_and_numbers=[True, 0, 1, None],
        when=["2026-01-01T00:00:00Z", "2026-01-03", None, "2026-01-01 10:00:00+02:00"],
        like_a_date=["20260101", "20260102", None, "20260101"],
        nearly_dates=["2026-01-01", "yesterday", None, ""],
        constant=[3, 3, 3, None],
    )
    assert {name: feature["kind"] for name, feature in inferred.items()} == {
        "flag": "boolean",
        "whole": "numeric",
        "real": "numeric",
        "code": "categorical",
        "mixed": "categorical",
        "flags_and_numbers": "categorical",
        "when": "cyclic",
        "like_a_date": "categorical",
        "nearly_dates": "categorical",
        "constant": "numeric",
    }
    assert inferred["when"] == {"field": "when", "kind": "cyclic", "period": "day"}


def test_columns_that_cannot_be_features_are_left_out_and_named_if_there_are_no_others() -> None:
    columns: dict[str, list[Any]] = {
        "gone": [None] * 60,
        "id": [f"id{i}" for i in range(60)],
        "clock": list(range(60)),
        "tags": [["a"]] * 60,
        "n" * 257: [1.0] * 60,
        'quo"ted': [1.0] * 60,
    }
    with pytest.raises(ConfigError) as caught:
        infer_features(table(**columns))
    reasons = ("gone: always missing", "id: an identifier", "clock: a clock", "tags: lists", "nnn: its name")
    for text in (*reasons, 'quo"ted: its name'):
        assert text in str(caught.value)
    assert list(features(**columns, fine=[0.5] * 60)) == ["fine"]


def test_texts_that_hardly_repeat_are_identifiers_only_if_there_are_more_than_50() -> None:
    assert list(features(a=[str(i) + "x" for i in range(50)])) == ["a"]
    assert list(features(a=[str(i) + "x" for i in range(51)], b=[1] * 51)) == ["b"]
    # 90 distinct values of 100 are exactly the limit, and kept; 91 are too many.
    assert "a" in features(a=[f"x{min(i, 89)}" for i in range(100)], b=[1] * 100)
    assert "a" not in features(a=[f"x{min(i, 90)}" for i in range(100)], b=[1] * 100)


def test_very_many_levels_that_repeat_are_hashed() -> None:
    assert features(a=[f"x{i % 100_000}" for i in range(200_000)])["a"] == {"field": "a", "kind": "categorical"}
    hashed = {"field": "a", "kind": "categorical", "encoding": "hash", "levels": 64}
    assert features(a=[f"x{i % 100_001}" for i in range(200_002)])["a"] == hashed


def test_clocks_and_counters_are_left_out_if_32_rows_show_it() -> None:
    rest = [0.5, 0.1] * 50
    assert "a" not in features(a=[i * i for i in range(100)], b=rest)
    assert "a" in features(a=[*range(99), 97], b=rest)  # one step back
    assert "a" in features(a=list(range(31)), b=rest[:31])
    assert "a" not in features(a=list(range(32)), b=rest[:32])
    # Not decreasing, but 95 distinct values of 100 are too few; 96 are enough.
    assert "a" in features(a=[max(i, 5) for i in range(100)], b=rest)
    assert "a" not in features(a=[max(i, 4) for i in range(100)], b=rest)
    # 2**53 and 2**53 + 1 are different integers, but the same float64.
    assert "a" not in features(a=[2**53 + i for i in range(100)], b=rest)


def test_the_heavy_tail_rule() -> None:
    inferred = features(
        heavy=heavy(1_000),
        small=[value / 1_000 for value in heavy(1_000)],  # the same tail in another unit
        both_sides=[value if i % 2 else -value for i, value in enumerate(heavy(1_000))],
        normal=[random.Random(i).gauss(500, 100) for i in range(1_000)],
    )
    assert {name: feature.get("transform") for name, feature in inferred.items()} == {
        "heavy": "log",
        "small": "log",
        "both_sides": "asinh",
        "normal": None,
    }


COUNTS = ["count", "srv_count"]
"""Connections to the same host or service, 1 to 511; half of them are below 8."""


def test_the_demos_transforms_do_not_change() -> None:
    inferred = infer_features(read_table(KDD, "label", ("attack",)))
    assert [f["field"] for f in inferred if "transform" in f] == ["duration", "src_bytes", "dst_bytes", *COUNTS]
    assert [f["field"] for f in inferred if f["kind"] == "categorical"] == ["protocol_type", "service", "flag"]
    assert len(inferred) == 41


def test_only_types_come_from_rows_beyond_the_head() -> None:
    calm = [(i * 37 % 100) / 100 for i in range(400)]
    columns = table(
        late_tail=[*calm, *heavy(4_000)],
        late_unique=[*(f"x{i % 3}" for i in range(400)), *(f"id{i}" for i in range(4_000))],
        late_text=[*calm, "x", *calm[:3_999]],
        late_clock=[*calm, *(1_000 + i for i in range(4_000))],
        late_only=[*([None] * 400), *calm * 10],
        early_clock=[*range(400), *calm * 10],
    )
    inferred = {feature["field"]: feature for feature in infer_features(columns, 400)}
    assert inferred == {
        "late_tail": {"field": "late_tail", "kind": "numeric"},
        "late_unique": {"field": "late_unique", "kind": "categorical"},
        "late_text": {"field": "late_text", "kind": "categorical"},  # a type is part of the schema, wherever it occurs
        "late_clock": {"field": "late_clock", "kind": "numeric"},
        "late_only": {"field": "late_only", "kind": "numeric"},
    }


_texts = st.sampled_from(["a", "b", "2026-01-01"])
_scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(-1e6, 1e6), _texts)
_columns = st.lists(st.lists(_scalars, min_size=40, max_size=40), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(_columns, _columns)
def test_a_tail_of_the_same_types_changes_nothing(heads: list[list[Any]], tails: list[list[Any]]) -> None:
    """The verdict on rows 0 to 39 is the same whether or not 40 more follow, as long as these bring no new type."""

    def decided(columns: dict[str, list[Any]], head: int | None) -> Any:
        try:
            return infer_features(table(**columns), head)
        except ConfigError as error:
            return str(error)

    head = {f"c{i}": column for i, column in enumerate(heads)}
    more = {
        name: column + [value for value in tail if value is None or type(value) in set(map(type, column)) - {str}]
        for (name, column), tail in zip(head.items(), tails * 4, strict=False)
    }
    longest = max(map(len, more.values()))
    padded = {name: column + [None] * (longest - len(column)) for name, column in more.items()}
    assert decided(padded, 40) == decided(head, None)


@settings(max_examples=150, deadline=None)
@given(_columns)
def test_the_worker_can_read_every_column_as_the_inferred_feature(columns: list[list[Any]]) -> None:
    named = {f"c{i}": column for i, column in enumerate(columns)}
    try:
        inferred = infer_features(table(**named))
    except ConfigError:
        return
    assert len(from_table(named, FeatureSpec.model_validate({"features": inferred}))) == 40


def test_a_path_is_a_value_or_an_object_never_both() -> None:
    clashing: dict[str, list[Any]] = {"a": [1, 2, None, None], "a.b": [None, None, 1, None], "a.c": [None] * 3 + [5]}
    assert list(features(**clashing)) == ["a"]
    clashing["a.b"] = [1, 1, 1, None]
    # The object now occurs more often than the value, so it is the one to read.
    assert list(features(**clashing)) == ["a.b", "a.c"]


def test_at_most_500_features() -> None:
    inferred = infer_features(table(**{f"c{i}": [0.5, 1.0] for i in range(501)}))
    assert len(inferred) == 500 and inferred[-1]["field"] == "c499"
