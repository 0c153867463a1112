"""The proposed YAML: each line has its comment, whatever fields are called, and it parses to the configuration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml

from training.profile.profile import Profile, Source, profile
from training.profile.text import commented_yaml
from training.tables.table import Table

ROWS = 200
COLUMNS: dict[str, list[Any]] = {
    "host": [f"h{i % 10}" for i in range(ROWS)],
    "x": [None if i % 4 == 0 else (i % 9) / 2 for i in range(ROWS)],
    "id": [f"id{i}" for i in range(ROWS)],
    "empty": [None] * ROWS,
    "tags": [["a"]] * ROWS,
}


def made(columns: dict[str, list[Any]], **source: Any) -> Profile:
    return profile(Source("x.csv", Table(columns, None, ROWS), **source), "s")


def test_each_feature_has_a_comment_and_other_fields_are_comments() -> None:
    result = made(COLUMNS)
    lines = commented_yaml(result).splitlines()
    assert lines[0] == "# Proposed by `offbeat profile` from 200 records of x.csv."
    assert "  - {field: x, kind: numeric}  # 0 … 4, median 2; 25.0% missing" in lines
    assert lines[lines.index("  # Left out:") + 1 :][:3] == [
        "  # - {field: id, kind: categorical}  # an identifier: its values hardly ever repeat; "
        "200 values, most often 'id0' (0%)",
        "  # - {field: empty}  # always missing",
        "  # - {field: tags}  # lists are not supported; lists",
    ]
    assert lines[lines.index("# Warnings:") + 1 :] == [f"#   {warning}" for warning in result.warnings]
    assert "#   id: an identifier: no value repeats" in lines
    assert yaml.safe_load("\n".join(lines)) == result.configuration


@pytest.mark.parametrize(
    ("columns", "keyed", "expected"),
    [
        (COLUMNS, False, "# entity: host, chosen: 10 values, 20.0 events each"),
        (COLUMNS, True, "# entity: host, possible: 10 values, 20.0 events each"),
        (COLUMNS, True, "# entity: the record key is used."),
        ({"x": COLUMNS["x"]}, False, "# entity: no field is configured, so the record key is used."),
        ({"c": COLUMNS["host"]}, False, "# entity: c, please check: 10 values, 20.0 events each"),
        (COLUMNS, False, "# time: no field is configured, so the record timestamp is used."),
        ({"x": COLUMNS["x"], "t": [*range(ROWS)]}, False, "# time: t, please check: only grows; its unit is unknown"),
    ],
)
def test_the_choice_of_entity_and_time_is_explained(columns: dict[str, list[Any]], keyed: bool, expected: str) -> None:
    assert expected in commented_yaml(made(columns, keyed=keyed)).splitlines()


def test_a_line_break_in_a_name_does_not_end_a_comment() -> None:
    result = made({"a\nb: {": [7] * ROWS, "x": COLUMNS["x"]})
    assert any("constant" in str(warning) for warning in result.warnings)
    assert yaml.safe_load(commented_yaml(result)) == result.configuration


def test_the_alert_rate_is_explained_in_events_a_day() -> None:
    times = 1_767_225_600_000 + 500.0 * np.arange(ROWS)
    lines = commented_yaml(made(COLUMNS, timestamps=times)).splitlines()
    assert lines[lines.index("threshold:") + 1 :][:4] == [
        "  # 0.01 of all events: about 2 flagged in a sample of 200, about 1,730 a day at 2 events/s.",
        "  # There are fewer alerts than flagged events: those of an entity within the cooldown of 60 s are one alert.",
        "  # 1,730 a day are many: raise alerts.cooldown, read the severe ones first, and lower alert_rate once the "
        "model has seen more of the stream.",
        "  alert_rate: 0.01",
    ]
