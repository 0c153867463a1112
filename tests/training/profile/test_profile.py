"""`offbeat profile` on files: the configuration runs as it is, and every failure has a clear text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from training.profile.profile import Profile, Source, profile
from training.profile.proposal import parse_settings, suggest_alert_rate
from training.profile.report import document
from training.profile.text import commented_yaml
from training.tables.json_records import build_event
from training.tables.table import Table
from worker.core.events.decode import Limits, decoder_for
from worker.errors import ConfigError

LINES = [
    {
        "id": f"e{i}",
        "time": f"2026-01-01T00:{i // 60 % 60:02d}:{i % 60:02d}Z",
        "src": {"ip": f"10.0.0.{i % 20}", "bytes": 1e6 if i % 100 == 7 else float(i * 37 % 100)},
        "protocol": ["tcp", "udp", None][i % 3],
        "ok": i % 4 == 0,
        "is_fraud": i % 50 == 0,
    }
    for i in range(600)
]


def offbeat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "worker.cli", *arguments], capture_output=True, text=True, check=False)


def profile_columns(columns: dict[str, list[Any]], labels: list[bool] | None = None, stream: str = "s") -> Profile:
    rows = len(next(iter(columns.values())))
    table = Table(columns, None if labels is None else np.array(labels), rows)
    return profile(Source("x.csv", table), stream)


def kinds(result: Profile) -> dict[str, str]:
    return {field.name: field.kind for field in result.fields}


def codes(result: Profile) -> set[tuple[str | None, str]]:
    return {(warning.field, warning.code) for warning in result.warnings}


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "my events.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


# The proposal


def test_a_file_becomes_the_configuration_that_a_user_would_write(events: Path) -> None:
    done = offbeat("profile", str(events))
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout) == {
        "stream": "my-events",
        "kafka": {"bootstrap_servers": "localhost:9092"},
        "redis": {"url": "redis://localhost:6379/0"},
        "event": {"entity": "src.ip", "time": "time"},
        "features": [
            {"field": "time", "kind": "cyclic", "period": "day"},
            {"field": "src.ip", "kind": "categorical"},
            {"field": "src.bytes", "kind": "numeric", "transform": "log"},
            {"field": "protocol", "kind": "categorical"},
            {"field": "ok", "kind": "boolean"},
        ],
        # One event a second makes 86,400 a day: 0.001 of them are 86, and 0.002 would be more than 100.
        "threshold": {"alert_rate": 0.001},
    }
    assert "about 86.4 flagged events a day, at 1 events/s" in done.stdout
    assert "# - {field: id, kind: categorical}" in done.stdout
    assert "# - {field: is_fraud, kind: boolean}  # leaking" in done.stdout
    for text in ("src.bytes", "600 records", "unique", "leaking"):
        assert text in done.stderr
    decoder = decoder_for("json", parse_settings(done.stdout).spec, Limits())
    decoded = decoder.decode(events.read_bytes().splitlines())
    assert len(decoded.index) == 600 and not decoded.rejects


def test_json_is_one_document_and_its_configuration_loads(events: Path, tmp_path: Path) -> None:
    output = tmp_path / "offbeat.yaml"
    done = offbeat("profile", str(events), "--json", "--label", "is_fraud", "--stream", "named", "-o", str(output))
    assert done.returncode == 0 and done.stderr == ""
    result = json.loads(done.stdout)
    assert list(result) == ["source", "rows", "fields", "warnings", "suggestions", "configuration"]
    fields = {field["field"]: field for field in result["fields"]}
    assert "is_fraud" not in fields
    assert fields["src.bytes"]["transform"] == "log"
    assert fields["protocol"]["missing"] == pytest.approx(1 / 3, abs=1e-6)
    assert fields["protocol"]["types"] == {"text": 400} and fields["protocol"]["distinct"] == 2
    assert fields["id"]["feature"] is None and "identifier" in fields["id"]["left_out"]
    assert {"field": "id", "code": "unique", "text": "an identifier: no value repeats"} in result["warnings"]
    suggestions = result["suggestions"]
    assert (suggestions["stream"], suggestions["entity"], suggestions["time"]) == ("named", "src.ip", "time")
    assert suggestions["events_per_second"] == pytest.approx(1.0)
    assert suggestions["flagged_per_day"] == pytest.approx(86.4)
    assert parse_settings(json.dumps(result["configuration"])) == parse_settings(output.read_text("utf-8"))
    assert parse_settings(output.read_text("utf-8")).stream == "named"


def test_without_times_the_number_of_alerts_is_reported_as_unknown() -> None:
    result = profile_columns({"a": [0.5, 1.0] * 50})
    assert (result.event_rate, result.flagged_per_day, result.alert_rate) == (None, None, 0.001)
    assert "the number per day is unknown" in commented_yaml(result)
    assert document(result)["suggestions"]["flagged_per_day"] is None


@pytest.mark.parametrize(
    ("per_day", "expected"),
    [(100, 0.01), (9_999, 0.01), (10_001, 0.005), (1e6, 1e-4), (4.9e6, 2e-5), (1e12, 1e-5)],
)
def test_suggested_rates_flag_at_most_100_events_a_day_within_their_bounds(per_day: float, expected: float) -> None:
    assert suggest_alert_rate(per_day / 86_400) == expected


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
    assert kinds(result) == {"ts": "cyclic", "user_id": "none", "other_ts": "numeric", "x": "numeric"}
    assert ("ts", "counter") not in codes(result)  # a time is expected to grow
    parse_settings(commented_yaml(result))


def test_counters_and_identifiers_by_name_are_proposed_as_comments_only() -> None:
    rows = 200
    result = profile_columns(
        {
            "total": [i * 10 - (i % 10) // 9 for i in range(rows)],  # a counter, although it steps back now and then
            "order_id": [(i * 37) % 401 for i in range(rows)],
            "x": [0.5, 1.0] * 100,
        }
    )
    assert kinds(result) == {"total": "none", "order_id": "none", "x": "numeric"}
    assert {("total", "counter"), ("order_id", "unique")} <= codes(result)


def test_a_field_that_leaks_the_labels_is_left_out_whatever_its_name() -> None:
    labels = [i % 10 == 0 for i in range(200)]
    columns: dict[str, list[Any]] = {
        "verdict_code": [7 if odd else i % 3 for i, odd in enumerate(labels)],
        "x": [i % 5 for i in range(200)],
    }
    assert kinds(profile_columns(columns, labels)) == {"verdict_code": "none", "x": "numeric"}
    assert kinds(profile_columns(columns)) == {"verdict_code": "numeric", "x": "numeric"}


def test_of_more_than_500_fields_the_first_are_written() -> None:
    result = profile_columns({f"c{i}": [0.5, float(i), 1.0] for i in range(510)})
    assert len(result.configuration["features"]) == 500
    assert result.configuration["features"][-1]["field"] == "c499"
    assert (None, "many") in codes(result) and kinds(result)["c500"] == "none"


def test_if_no_field_can_be_a_feature_each_has_a_reason() -> None:
    with pytest.raises(ConfigError, match=r"x\.csv: no field can be a feature: gone: always missing; label: leaking"):
        profile_columns({"gone": [None] * 3, "label": [0, 1, 0]})


def test_fields_that_are_values_and_objects_are_reported_as_dead_letters(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"src": null, "x": 1.5}\n{"src": {"ip": "a"}, "x": 2.5}\n{"src": {"ip": "b"}, "x": 1.5}\n')
    result = json.loads(offbeat("profile", str(path), "--json").stdout)
    assert [w["text"] for w in result["warnings"] if w["code"] == "clash"] == [
        "src is null in some events and an object with src.ip in others; the worker rejects one of the two"
    ]
    assert [feature["field"] for feature in result["configuration"]["features"]] == ["x", "src.ip"]


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


# The command


def test_help_has_examples_and_loads_nothing_heavy() -> None:
    done = offbeat("profile", "--help")
    assert done.returncode == 0 and "Examples:" in done.stdout
    code = (
        "import sys; from worker.cli import cli; cli.main(['profile', '--help'], standalone_mode=False); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'confluent_kafka', 'pyarrow', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "FILE or --topic: neither present; allowed: exactly one"),
        (["{events}", "--topic", "t"], "FILE or --topic: both present"),
        (["--topic", "t"], "--bootstrap-servers: required with --topic"),
        (["{events}", "--bootstrap-servers", "h:1"], "only allowed with --topic"),
        (["nowhere.csv"], "nowhere.csv: no such file"),
        (["{events}", "--label", "z"], "--label: my events.jsonl has no column 'z'; it has: id, time, src.ip"),
        (["{events}", "--rows", "0"], "Invalid value for '--rows'"),
        (["{events}", "--stream", "a b"], "stream: 'a b' is not allowed: letters, digits"),
        (["{events}", "-o", "{folder}/no/where.yaml"], "where.yaml: No such file or directory"),
        (["--topic", "t", "--bootstrap-servers", "h:1", "-X", "sasl.password:hunter2"], "not KEY=VALUE"),
        (["--topic", "t", "--bootstrap-servers", "h:1", "-X", "group.id=x"], "-X: group.id may not be set"),
        (["--topic", "t", "--bootstrap-servers", "h:1", "-X", "no.such=hunter2"], 'property: "no.such"'),
    ],
)
def test_each_error_has_one_text_and_exit_code_2(events: Path, arguments: list[str], text: str) -> None:
    filled = [argument.format(events=events, folder=events.parent) for argument in arguments]
    done = offbeat("profile", *filled)
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr and "hunter2" not in done.stderr and done.stdout == ""


def test_only_the_first_rows_are_read(events: Path) -> None:
    result = json.loads(offbeat("profile", str(events), "--rows", "60", "--json").stdout)
    assert result["rows"] == 60
