"""What `offbeat profile` proposes for a table: a configuration that runs as it is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from training.profile.profile import Profile, Source, profile
from training.profile.proposal import parse_settings
from training.profile.report import document
from training.profile.text import commented_yaml
from training.tables.json_records import build_event
from training.tables.table import Table
from worker.core.events.decode import Limits, decoder_for
from worker.errors import ConfigError


def profile_columns(columns: dict[str, list[Any]], labels: list[bool] | None = None, stream: str = "s") -> Profile:
    rows = len(next(iter(columns.values())))
    table = Table(columns, None if labels is None else np.array(labels), rows)
    return profile(Source("x.csv", table), stream)


def kinds(result: Profile) -> dict[str, str]:
    return {field.name: field.kind for field in result.fields}


def codes(result: Profile) -> set[tuple[str | None, str]]:
    return {(warning.field, warning.code) for warning in result.warnings}


def test_without_times_the_number_of_alerts_is_reported_as_unknown() -> None:
    result = profile_columns({"a": [0.5, 1.0] * 50})
    assert (result.event_rate, result.expectation.flagged_per_day) == (None, None)
    assert "the number per day is unknown" in commented_yaml(result)
    assert document(result)["suggestions"]["flagged_per_day"] is None


def test_roles_never_contradict_features() -> None:
    """The worker cannot read a number as time or entity and as a number at once."""
    rows = 200
    result = profile_columns(
        {
            "ts": [1_767_225_600 + i for i in range(rows)],
            "user_id": [i % 20 for i in range(rows)],
            "other_ts": [1_767_225_600.5 + (i * 37) % rows for i in range(rows)],
            "x": [0.5, 1.0] * 100,
        }
    )
    assert (result.time, result.entity) == ("ts", "user_id")
    assert kinds(result) == {"ts": "none", "user_id": "none", "other_ts": "none", "x": "numeric"}
    assert ("ts", "counter") not in codes(result)  # a time is expected to grow
    parse_settings(commented_yaml(result))


def test_identifiers_by_name_are_proposed_as_comments_only_and_counters_by_their_growth() -> None:
    rows = 200
    result = profile_columns(
        {
            # A counter, although it steps back now and then.
            "total": [i * 10 + i * i % 7 - (i % 10) // 9 * 11 for i in range(rows)],
            "order_id": [(i * 37) % 401 for i in range(rows)],
            "x": [0.5, 1.0] * 100,
        }
    )
    assert kinds(result) == {"total": "delta", "order_id": "none", "x": "numeric"}
    assert {("total", "counter"), ("order_id", "unique")} <= codes(result)


def test_a_field_that_leaks_the_labels_is_left_out_whatever_its_name() -> None:
    labels = [i % 10 == 0 for i in range(200)]
    columns: dict[str, list[Any]] = {
        "verdict_code": [7 if odd else i % 3 for i, odd in enumerate(labels)],
        "x": [i % 5 for i in range(200)],
    }
    assert kinds(profile_columns(columns, labels)) == {"verdict_code": "none", "x": "numeric"}
    assert kinds(profile_columns(columns)) == {"verdict_code": "categorical", "x": "numeric"}


def test_of_more_than_500_fields_the_first_are_written() -> None:
    result = profile_columns({f"c{i}": [0.5, float(i), 1.0] for i in range(510)})
    assert len(result.configuration["features"]) == 500
    assert result.configuration["features"][-1]["field"] == "c499"
    assert (None, "many") in codes(result) and kinds(result)["c500"] == "none"


def test_if_no_field_can_be_a_feature_each_has_a_reason() -> None:
    with pytest.raises(ConfigError, match=r"x\.csv: no field can be a feature: gone: always missing; label: leaking"):
        profile_columns({"gone": [None] * 3, "label": [0, 1, 0]})


_CHARACTERS = st.characters(exclude_categories=["Cs"])
_names = st.one_of(
    st.text(_CHARACTERS, min_size=1, max_size=12),
    st.sampled_from(
        [
            "a",
            "a.b",
            "a.b.c",
            "null",
            "yes",
            "1",
            "1e3",
            "- x",
            "{",
            "#",
            "a: b",
            "a # b",
            "'",
            '"',
            "\n",
            "..",
            "\x85",
            "\ufeff",
            "x" * 257,
            "=",
            "<<",
            "~",
            "time",
            "ts",
            "user.id",
            "label",
        ]
    ),
)
_values = st.one_of(
    st.lists(st.one_of(st.none(), st.booleans()), min_size=4, max_size=4),
    st.lists(st.one_of(st.none(), st.integers(-(2**70), 2**70)), min_size=4, max_size=4),
    st.lists(st.one_of(st.none(), st.floats(-1e300, 1e300)), min_size=4, max_size=4),
    st.lists(
        st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)), min_size=4, max_size=4
    ),
    st.lists(st.one_of(st.none(), st.sampled_from([1, "x", True, "2026-01-01", 1.5, ["l"]])), min_size=4, max_size=4),
    st.lists(st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01+02:00"]), min_size=4, max_size=4),
    st.lists(st.integers(1_767_225_600, 1_767_225_700), min_size=4, max_size=4).map(sorted),
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_names, _values, min_size=1, max_size=5))
def test_whatever_fields_are_called_and_hold_the_configuration_reads_them(
    columns: dict[str, list[Any]],
) -> None:
    try:
        result = profile_columns(columns)
    except ConfigError:  # no field can be a feature; tested above
        return
    text = commented_yaml(result)
    assert yaml.safe_load(text) == result.configuration
    spec = parse_settings(text).spec
    assert [feature.field for feature in spec.features] == [f["field"] for f in result.configuration["features"]]
    json.dumps(document(result))
    if any(warning.code == "clash" for warning in result.warnings):
        return
    values = [msgspec.json.encode(build_event(list(columns), row)) for row in zip(*columns.values(), strict=True)]
    assert decoder_for("json", spec, Limits()).decode(values).rejects == []
