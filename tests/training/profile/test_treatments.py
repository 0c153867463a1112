"""Fields of special shapes, each with a named treatment: what is proposed, and the reason for what is left out."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from training.profile.profile import Profile, Source, profile
from training.profile.proposal import parse_settings
from training.profile.report import summary
from training.profile.text import commented_yaml
from training.tables.json_records import FieldColumns, decode
from training.tables.table import Table, make_table
from worker.core.events.decode import Limits, decoder_for
from worker.errors import ConfigError

ROWS = 600
START = datetime(2026, 1, 1, tzinfo=UTC)
RANDOM = random.Random(0)
X = [RANDOM.gauss(10.0, 2.0) for _ in range(ROWS)]


def made(columns: dict[str, list[Any]], **source: Any) -> Profile:
    return profile(Source("x.csv", Table({"x": X, **columns}, None, ROWS), **source), "s")


def reason(result: Profile, name: str) -> str:
    """Why a field was left out. Fails if it was not, or if the command or the file does not say so."""
    [field] = [field for field in result.fields if field.name == name]
    assert field.verdict.feature is None, field.verdict.feature
    assert any(line.startswith(f"left out: {name}: {field.verdict.reason}") for line in summary(result))
    assert f"  # {field.verdict.reason}" in commented_yaml(result)
    return field.verdict.reason


DELTA = {"field": "bytes_total", "kind": "delta", "counter": True, "per": "second"}


def note(result: Profile, name: str) -> str:
    """Why a field is read as it is. Fails if the command or the file does not say so."""
    [field] = [field for field in result.fields if field.name == name]
    assert any(line == f"read as {field.kind}: {name}: {field.verdict.note}" for line in summary(result))
    assert field.verdict.note in commented_yaml(result)
    return field.verdict.note


def features(result: Profile, name: str) -> list[dict[str, Any]]:
    return [feature for feature in result.configuration["features"] if feature["field"] == name]


def warnings(result: Profile, name: str | None) -> dict[str, str]:
    return {warning.code: warning.text for warning in result.warnings if warning.field == name}


def times(step: timedelta) -> list[str]:
    return [(START + row * step).isoformat() for row in range(ROWS)]


def test_values_that_always_change_are_hinted_at() -> None:
    columns: dict[str, list[Any]] = {
        "host": ["abc"[row % 3] for row in range(ROWS)],
        "valve": [0.5 * (row // 100) for row in range(ROWS)],
    }
    assert warnings(made(columns), None)["unchanged"].startswith("the values of x of one host always change")
    assert "unchanged" not in warnings(made({"valve": columns["valve"]}), None)  # no entity


def test_identifiers_and_free_text() -> None:
    result = made({"ref": [f"r{row}" for row in range(ROWS)], "note": [f"order {row} is late" for row in range(ROWS)]})
    assert reason(result, "ref").startswith("an identifier: ")
    assert reason(result, "note").startswith("free text, 4 words on average")


def test_constants_stay_because_another_value_is_unusual() -> None:
    result = made({"region": ["eu"] * ROWS})
    assert features(result, "region") and "any other value is unusual" in warnings(result, "region")["constant"]


@pytest.mark.parametrize("resets", [(), (200, 450)])
def test_counters_of_each_entity(resets: tuple[int, ...]) -> None:
    totals = dict.fromkeys("abc", 0)
    columns: dict[str, list[Any]] = {"host": [], "bytes_total": []}
    for row in range(ROWS):
        host = "abc"[row % 3]
        totals[host] = 0 if row in resets else totals[host] + (1, 90, 8_000)[row % 3] + row % 7
        columns["host"].append(host)
        columns["bytes_total"].append(totals[host])
    result = made(columns)
    assert result.entity == "host"
    assert features(result, "bytes_total") == [DELTA]
    assert note(result, "bytes_total").startswith("a counter: ")
    assert "one producer" not in note(result, "bytes_total") and "one counter for all" not in note(
        result, "bytes_total"
    )


def growing(step: Callable[[int], float]) -> list[float]:
    return [100 + sum(map(step, range(row + 1))) for row in range(ROWS)]


@pytest.mark.parametrize("resets", [(), (200, 450)])
def test_a_counter_of_all_events_needs_one_producer(resets: tuple[int, ...]) -> None:
    total, values = 0, list[int]()
    for row in range(ROWS):
        total = 0 if row in resets else total + 80 + row * row % 41
        values.append(total)
    alone = made({"bytes_total": values})
    assert features(alone, "bytes_total") == [DELTA] and "come from one producer" in note(alone, "bytes_total")
    shared = made({"bytes_total": values, "host": [f"h{row % 3}" for row in range(ROWS)]})
    assert features(shared, "bytes_total") == [DELTA]
    assert "It is one counter for all of them" in note(shared, "bytes_total")


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("ticket", lambda row: 1),
        ("seq", lambda row: 1 + row * row % 9),
        ("ticks", lambda row: 10 + 5 * (row % 50 == 7)),
    ],
)
def test_what_grows_at_its_own_pace_is_no_counter(name: str, step: Callable[[int], float]) -> None:
    assert reason(made({name: growing(step)}), name)


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("http.status", [200, 404, 500], True),
        ("type", [1, 2, 3], True),
        ("dst_port", [53, 80, 443], True),
        ("level", [10, 20, 40], True),
        ("answer", [200, 304, 404, 501], True),
        ("level", [1, 2, 3, 4], False),
        ("retries", [0, 1, 2, 3], False),
        ("items", [1, 2, 3, 8, 40], False),
        ("amount", [100, 150, 200, 500], False),
        ("dst_port", list(range(1_000, 1_060)), False),
    ],
)
def test_codes_are_categories_and_counts_are_numbers(name: str, values: list[int], code: bool) -> None:
    result = made({name: [values[row * 7 % len(values)] for row in range(ROWS)]})
    assert features(result, name) == [{"field": name, "kind": "categorical" if code else "numeric"}]
    assert bool(next(field for field in result.fields if field.name == name).verdict.note) is code


@pytest.mark.parametrize(("unit", "per_second"), [("microseconds", 10**6), ("nanoseconds", 10**9)])
def test_epochs_in_units_that_the_worker_refuses(unit: str, per_second: int) -> None:
    second = int(START.timestamp())
    for order in (range(ROWS), random.Random(1).sample(range(ROWS), ROWS)):
        result = made({"ts": [(second + row) * per_second for row in order]})
        assert result.time is None
        assert reason(result, "ts").startswith(f"a time in {unit} since 1970, which the worker refuses")
        assert f"# time: ts, please check: {unit} since 1970, which the worker refuses" in commented_yaml(result)


def test_numbers_written_as_text() -> None:
    result = made({"size": [f"{row * 37 % 9_000:,}" for row in range(ROWS)], "code": ["200", "404"] * (ROWS // 2)})
    assert "let the producer write numbers" in reason(result, "size")
    assert features(result, "code") == [{"field": "code", "kind": "categorical"}]
    assert "number-text" in warnings(result, "code")


def test_blanks_among_numbers() -> None:
    result = made({"ms": ["-" if row % 10 == 0 else x for row, x in enumerate(X)], "kind": ["a", "-", "b"] * 200})
    assert "10.0% of its numbers are texts, '-'" in reason(result, "ms")
    assert "a text, not a missing value" in warnings(result, "kind")["blanks"]


def test_levels_that_change_their_case_and_units_that_change() -> None:
    late = [row >= 400 for row in range(ROWS)]
    result = made(
        {
            "proto": [("tcp", "udp")[row % 2] if late[row] else ("TCP", "UDP")[row % 2] for row in range(ROWS)],
            "ms": [x / 1_000 if late[row] else x for row, x in enumerate(X)],
        }
    )
    assert "'TCP', 'UDP', 'tcp', 'udp'" in warnings(result, "proto")["case"]
    assert "its values change for good within the sample" in warnings(result, "ms")["shift"]
    assert "shift" not in warnings(result, "x")


def test_noise_is_a_warning() -> None:
    result = made({"port": [RANDOM.randrange(1_024, 65_536) for _ in range(ROWS)]})
    assert features(result, "port") and "varies evenly and with no other feature" in warnings(result, "port")["noise"]
    assert "noise" not in warnings(result, "x")


def test_a_time_of_day_needs_two_days_and_a_week_two_weeks() -> None:
    short = made({"at": times(timedelta(minutes=2))})
    assert short.time == "at" and short.configuration["event"] == {"time": "at"}
    assert reason(short, "at").startswith("a time: the sample covers 20 hours; the time of day needs two days")
    assert "# - {field: at, kind: cyclic, period: day}" in commented_yaml(short)
    days = made({"at": times(timedelta(minutes=10))})
    assert features(days, "at") == [{"field": "at", "kind": "cyclic", "period": "day"}]
    assert any(line.startswith("left out in part: at: the sample covers 4.16 days") for line in summary(days))
    weeks = made({"at": times(timedelta(hours=1))})
    assert [feature["period"] for feature in features(weeks, "at")] == ["day", "week"]
    spec = parse_settings(commented_yaml(weeks)).spec
    assert spec.names == ("x", "at", "at:week")
    read = decoder_for("json", spec, Limits()).decode([b'{"x": 1, "at": "2026-01-05T06:00:00Z"}'])
    assert not read.rejects and len({*map(len, read.columns.values)}) == 1
    numbers = made({"ts": [START.timestamp() + 3_600 * row for row in range(ROWS)]})
    assert [feature["period"] for feature in features(numbers, "ts")] == ["day", "week"]


def test_a_time_that_is_not_the_events_is_no_time_of_day() -> None:
    at = times(timedelta(hours=1))
    born = [f"{1950 + row % 50}-0{1 + row % 9}-11T00:00:00Z" for row in range(ROWS)]
    paid = [(START + timedelta(hours=row, minutes=row % 60)).isoformat() for row in range(ROWS)]
    result = made({"at": at, "born": born, "paid_at": paid})
    assert result.time == "at"
    assert reason(result, "born").startswith("a time, but not that of the event")
    assert [feature["period"] for feature in features(result, "paid_at")] == ["day", "week"]


def test_an_entity_is_a_thing_with_a_past() -> None:
    columns: dict[str, list[Any]] = {
        "country": [f"c{row % 60}" for row in range(ROWS)],
        "shop.name": [f"s{row % 20}" for row in range(ROWS)],
        "session": [f"v{row // 2}" for row in range(ROWS)],  # two events each
    }
    result = made(columns)
    assert result.entity == "shop.name"
    assert [candidate.field for candidate in result.entities] == ["shop.name", "session", "country"]
    assert made(columns, keyed=True).entity is None
    assert made({"country": columns["country"]}).entity is None
    stamped = made(columns, timestamps=START.timestamp() * 1_000 + 10.0 * np.arange(ROWS))
    assert "This one is coarse, with 300 events of each within a cooldown of 60 s" in commented_yaml(stamped)


def events(lines: list[bytes]) -> Profile:
    columns = FieldColumns()
    for line in lines:
        columns.add(decode(line))
    table = make_table(columns.finish(), None, (), "x.jsonl", columns.notes)
    return profile(Source("x.jsonl", table, values=lines), "s")


def test_change_events_of_a_database() -> None:
    result = events(
        [
            b'{"before": %s, "after": {"amount": %.2f, "id": %d}, "op": "c", "ts_ms": 1767225600000}'
            % (b'{"amount": 5.5}' if row % 3 == 0 else b"null", X[row], row)
            for row in range(ROWS)
        ]
    )
    assert reason(result, "before.amount").startswith("before is null or absent in 66.7% of the events")
    assert features(result, "after.amount")
    assert "Let the connector unwrap them" in warnings(result, None)["change-events"]
    assert "dead-letters" not in warnings(result, None)


def test_an_object_that_is_rarely_null_costs_these_records() -> None:
    lines = [b'{"a": {"x": %.2f}, "y": %d}' % (X[row], row % 5) for row in range(ROWS)]
    result = events([*lines[:590], *[b'{"a": null, "y": 3}'] * 10])
    assert features(result, "a.x")
    assert warnings(result, "a.x")["null-object"].startswith("a is null or absent in 1.7% of the events")
    assert warnings(result, None)["dead-letters"].startswith("10 of 600 records")


def test_keys_with_dots_are_named_even_if_nothing_else_is_left() -> None:
    lines = [b'{"@timestamp": "2026-01-01T00:00:00Z", "source.ip": "10.0.0.%d"}' % (row % 9) for row in range(ROWS)]
    with pytest.raises(ConfigError, match=r"no field can be a feature: @timestamp: .*'source.ip' is left out: its key"):
        events(lines)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (
            b'\x00\x00\x00\x00\x07{"a": 1}',
            "header of five bytes, schema 7, which the worker rejects",
        ),
        (b"\x00\x00\x00\x00\x07\x02\x08", r"schema 7, so it is probably Avro or Protobuf"),
        (b'\xef\xbb\xbf{"a": 1}', "byte order mark, EF BB BF, which the worker rejects"),
        (b"nonsense", "not JSON: JSON is malformed"),
    ],
)
def test_bytes_before_the_json_are_named(raw: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        decode(raw)
