"""Fields of a sample: types, warnings, leaks, and candidates for entity and time."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from training.profile.candidates import estimate_event_rate, find_entities, find_times
from training.profile.data_warnings import UNREADABLE_UNIT
from training.profile.evidence.names import words_of
from training.profile.evidence.periods import parse_times
from training.profile.fields import Field, describe_field
from training.profile.infer import classify_columns
from training.profile.leaks import find_duplicates, leaks_labels, looks_like_label

MS_2026 = 1_767_225_600_000


def describe(**columns: list[Any]) -> dict[str, Field]:
    return {name: describe_field(name, columns[name], verdict) for name, verdict in classify_columns(columns).items()}


def codes(values: list[Any]) -> list[str]:
    return [warning.code for warning in describe(a=values)["a"].warnings]


def test_facts() -> None:
    field = describe(a=[1, 2.5, None, "x", "x", True, 1, "1"])["a"]
    assert field.types == {"integer": 2, "number": 1, "text": 3, "boolean": 1}
    assert field.missing == pytest.approx(1 / 8)
    assert field.distinct == 4  # 1 and "1" are one category, as the worker reads them
    assert field.kind == "categorical"
    assert describe(a=[3, 1, None, 2])["a"].summary == "1 … 3, median 2"
    assert describe(a=["x", "y", "x", None])["a"].summary == "2 values, most often 'x' (67%)"
    assert describe(a=["2026-01-02", "2026-01-01"])["a"].summary == "2026-01-01 … 2026-01-02"
    nothing = describe(a=[None, None])["a"]
    assert (nothing.types, nothing.missing, nothing.distinct, nothing.kind) == ({}, 1.0, 0, "none")
    assert describe(a=[[1], [2]])["a"].distinct is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([None] * 60, ["missing"]),
        ([7] * 60, ["constant"]),
        ([1, "x"] * 30, ["mixed"]),
        ([1, 2.5] * 30, []),  # whole numbers are numbers
        ([[1], None] * 30, ["lists"]),
        ([f"id{i}" for i in range(60)], ["unique"]),
        ([f"id{i}" for i in range(50)], []),  # 50 values may all differ by accident
        ([f"id{i % 59}" for i in range(60)], []),
        ([(i * 37) % 61 for i in range(60)], ["unique"]),
        ([(i * 37) % 61 + 0.5 for i in range(60)], []),  # measurements rarely repeat
        ([f"the {i}. of many words" for i in range(60)], ["free-text"]),
        (["one of few texts", "another of few texts"] * 30, []),
        ([str(i % 7) for i in range(60)], ["number-text"]),
        (["2026-01-01", "2026-01-02"] * 30, ["dates"]),
        (["2026-01-01T00:00:00Z"] * 30 + ["2026-01-02"] * 30, []),
        ([i // 2 for i in range(100)], ["counter"]),
        ([*range(50), 0, *range(50)], []),  # a counter that restarts returns to values seen before
        ([0.0] * 50 + [9.0] + [0.0] * 50, []),
        ([MS_2026 * 1_000 + i for i in range(100)], ["counter", "unit"]),
        ([MS_2026 * 1_000_000 + i for i in range(100)], ["counter", "unit"]),
        ([MS_2026 + i for i in range(100)], ["counter"]),
    ],
)
def test_warnings(values: list[Any], expected: list[str]) -> None:
    assert codes(values) == expected


def test_identifiers_by_name_are_whole_numbers_that_never_repeat() -> None:
    shuffled: list[Any] = random.Random(0).sample(range(10**6), 100)
    fields = describe(
        **{
            "tx.order_id": shuffled,
            "amount": shuffled,
            "user_id": [i % 9 for i in range(100)],
            "orderId": [float(i) for i in shuffled],
        }
    )
    assert [name for name, field in fields.items() if field.is_identifier] == ["tx.order_id"]


def test_words_of_a_name() -> None:
    assert words_of("src.userId_2") == ["user", "id", "2"]
    assert words_of("IPAddr") == ["ip", "addr"]
    assert words_of("@timestamp") == ["timestamp"]
    assert words_of("42.") == [] and words_of("") == []


@pytest.mark.parametrize(
    "name",
    [
        "label",
        "target",
        "Class",
        "attack",
        "attack_cat",
        "is_fraud",
        "isFraud",
        "anomaly",
        "meta.is_anomaly",
        "ground_truth",
        "is_outlier",
    ],
)
def test_names_of_labels(name: str) -> None:
    assert looks_like_label(name)


@pytest.mark.parametrize(
    "name", ["labelled.by", "target_host", "device_class", "classes", "attacker.ip", "y_pos", "is_ok", ""]
)
def test_names_that_only_look_like_labels(name: str) -> None:
    assert not looks_like_label(name)


def test_a_field_leaks_the_labels_if_no_value_occurs_with_both() -> None:
    labels = np.array([i % 10 == 0 for i in range(100)])
    tells = ["smurf" if i % 20 == 0 else "neptune" if i % 10 == 0 else None for i in range(100)]
    assert leaks_labels(tells, labels)
    assert not leaks_labels([*tells[:99], "smurf"], labels)
    assert not leaks_labels(list(range(100)), labels)  # no value repeats, which proves nothing
    few = np.array([i < 4 for i in range(100)])
    assert not leaks_labels(["x" if odd else "y" for odd in few], few)  # four may be an accident
    assert not leaks_labels([["x"]] * 100, labels)


def test_duplicates_are_copies_or_one_to_one() -> None:
    country = ["DE", "FR", None, "US", "DE"] * 20
    unique = [f"u{i}" for i in range(100)]
    columns: dict[str, list[Any]] = {
        "country": country,
        "copy": list(country),
        "dial": [{"DE": 49, "FR": 33, "US": 1, None: None}[value] for value in country],
        "coarser": [None if value is None else value == "US" for value in country],
        "unique": unique,
        "other_unique": unique[::-1],
        "constant": [1] * 100,
        "rare": [1] + [0] * 99,
        "rare_too": [5] + [4] * 99,
        "list": [[1]] * 100,
    }
    duplicates = find_duplicates(columns, describe(**columns))
    warnings = {warning.field: (warning.code, warning.text) for warning in duplicates}
    assert set(warnings) == {"copy", "dial"}
    assert warnings["copy"] == ("copy", "a copy of country")
    assert warnings["dial"][0] == "one-to-one" and "with country" in warnings["dial"][1]
    assert [c.code for c in find_duplicates({"a": unique, "b": unique}, describe(a=unique, b=unique))] == ["copy"]


def test_entities_recur_and_those_named_as_things_come_first() -> None:
    candidates = find_entities(
        list(
            describe(
                country=[f"c{i % 30}" for i in range(300)],
                user_id=[i % 20 for i in range(300)],
                hostname=[f"h{i % 10}" for i in range(300)],
                count=[i % 20 for i in range(300)],  # numbers are measurements unless their name is that of a thing
                order_id=[f"o{i}" for i in range(300)],
                device=[f"d{i % 5}" if i % 10 else None for i in range(300)],  # missing in one row of ten
                when=["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"] * 150,
            ).values()
        )
    )
    assert [(candidate.field, candidate.usable) for candidate in candidates] == [
        ("user_id", True),
        ("hostname", True),
        ("country", False),
    ]
    assert candidates[0].basis == "20 values, 15.0 events each"


def test_times_are_iso_or_plausible_numbers() -> None:
    order = random.Random(0).sample(range(100), 100)
    columns: dict[str, list[Any]] = {
        "iso": [f"2026-01-01T00:00:{i % 60:02d}Z" for i in range(100)],
        "ts": [MS_2026 / 1000 + i for i in order],
        "created_at": [MS_2026 + i if i % 2 else None for i in order],
        "grows": [MS_2026 + i for i in range(100)],
        "phone": [1_600_000_000 + 7_919 * i % 10**8 for i in order],  # in range, but neither named nor in order
        "time": [float(i) for i in range(100)],  # seconds from a start, as many data sets have them
        "day": ["2026-01-01"] * 100,
        "timestamp_us": [MS_2026 * 1000 + i for i in order],
        "since_1990": [631_152_000 + i for i in range(100)],
    }
    candidates = find_times(list(describe(**columns).values()), columns)
    assert [(candidate.field, candidate.basis, candidate.usable) for candidate in candidates] == [
        ("ts", "seconds since 1970", True),
        ("created_at", "milliseconds since 1970", True),
        ("iso", "ISO 8601", True),
        ("grows", "milliseconds since 1970", True),
        ("time", "only grows; its unit is unknown", False),
        ("timestamp_us", "microseconds since 1970, " + UNREADABLE_UNIT, False),
        ("day", "dates, without a time of day", False),
        ("since_1990", "only grows; its unit is unknown", False),
    ]


def test_the_event_rate_is_summed_over_partitions() -> None:
    fast = MS_2026 + np.arange(1_000.0) * 100.0  # 10/s, for 100 s
    slow = MS_2026 - 1_000_000 + np.arange(1_000.0) * 1_000.0  # 1/s, for 1,000 s
    both = np.concatenate([fast, slow])
    partitions = np.repeat([0, 1], 1_000)
    assert estimate_event_rate(both, partitions) == pytest.approx(11.0, rel=1e-6)
    assert estimate_event_rate(fast) == pytest.approx(10.0, rel=1e-6)
    assert estimate_event_rate(np.array([0.0, 500.0])) == pytest.approx(2.0)


def test_a_stray_time_does_not_change_the_event_rate() -> None:
    regular = MS_2026 + np.arange(1_000.0) * 1_000.0
    regular[3] = 0.0
    regular[7] = np.nan
    assert estimate_event_rate(regular) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("times_ms", [[], [5.0], [5.0, 5.0, 5.0], [float("nan")] * 3])
def test_the_event_rate_is_unknown_without_a_span_of_times(times_ms: list[float]) -> None:
    assert estimate_event_rate(np.array(times_ms)) is None


def test_times_are_parsed_to_milliseconds_from_every_format() -> None:
    read = parse_times(["2026-01-01T01:00:00+01:00", None, MS_2026, MS_2026 / 1000])
    assert read[[0, 2, 3]].tolist() == [MS_2026] * 3 and np.isnan(read[1])
