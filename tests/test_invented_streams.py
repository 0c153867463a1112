"""The invented streams of the benchmark: the same for the same seed, and with the anomalies that their truth names."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.streams.anomalies import FIRST_ANOMALY, Kind, Stream, flat_events, nested, planted
from tests.benchmarks.streams.files import ASIDE, MAKERS, OPEN, load, write
from tests.benchmarks.streams.newcomer import Case, summarize

EVENTS = 20_000
STANDSTILLS = {"sensors", "warehouse", "ward"}


@cache
def whole(name: str) -> Stream:
    return load(name, 0, EVENTS)


@pytest.mark.parametrize("name", MAKERS)
def test_a_stream_is_a_function_of_its_seed(name: str) -> None:
    small = 5_500
    first = load(name, 3, small)
    assert first == load(name, 3, small)
    assert first[0] != load(name, 4, small)[0]


@pytest.mark.parametrize("name", OPEN + ASIDE)
def test_the_truth_is_of_named_kinds_in_equal_shares(name: str) -> None:
    events, truth = whole(name)
    counts = Counter(truth.values())
    assert len(events) == EVENTS
    assert min(truth) >= FIRST_ANOMALY and max(truth) < EVENTS
    assert 0.0035 <= len(truth) / (EVENTS - FIRST_ANOMALY) <= 0.0055
    assert 6 <= len(counts) <= 10
    assert min(counts.values()) >= 6
    if name == "checkouts":
        return  # it was given, with shares that differ more
    standing = sum(count for kind, count in counts.items() if kind.endswith("stands still"))
    assert (standing > 0) == (name in STANDSTILLS)
    planted_counts = [count for kind, count in counts.items() if not kind.endswith("stands still")]
    assert max(planted_counts) - min(planted_counts) <= 1


@pytest.mark.parametrize("name", OPEN + ASIDE)
def test_an_unseen_level_is_in_no_normal_event(name: str) -> None:
    events, truth = whole(name)
    normal: dict[str, set[Any]] = {}
    for row, event in enumerate(events):
        if row not in truth:
            for path, value in leaves(event):
                normal.setdefault(path, set()).add(value)
    unseen = [row for row, kind in truth.items() if kind.startswith("unseen")]
    assert unseen
    for row in unseen:
        assert any(value not in normal[path] for path, value in leaves(events[row]) if isinstance(value, str))


@pytest.mark.parametrize("name", OPEN + ASIDE)
def test_events_survive_json_and_name_no_kind(name: str, tmp_path: Path) -> None:
    events, truth = load(name, 1, 5_000)
    write(events, tmp_path / "events.jsonl")
    lines = (tmp_path / "events.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == events
    assert not {value for event in events for _, value in leaves(event)} & set(truth.values())


def test_planting_changes_the_rows_of_the_truth_alone() -> None:
    levels = ["y" if row % 230 else "x" for row in range(6_000)]  # 13 events from row 3,000 on, of which 12 are wanted
    before = flat_events({"id": range(6_000), "a.n": np.zeros(6_000), "a.level": levels})
    after = [dict(event) for event in before]
    kinds = [
        Kind("one", lambda event, other, rng: event.update({"a.n": 1.0}), lambda event: event["a.level"] == "x"),
        Kind("two", lambda event, other, rng: event.update({"a.level": other["a.level"]}),
             lambda event: event["a.level"] == "x", lambda event: event["a.level"] == "y"),
    ]  # fmt: skip
    truth = planted(after, kinds, np.random.default_rng(0))
    assert sorted(truth) == [row for row in range(6_000) if before[row] != after[row]]
    assert all(before[row]["a.level"] == "x" for row in truth)
    assert Counter(truth.values()) == {"one": 6, "two": 6}
    assert nested(after[0]) == {"id": 0, "a": {"n": 0.0, "level": "x"}}


def test_planting_what_can_befall_no_event_is_an_error() -> None:
    events = flat_events({"n": [0.0] * 6_000})
    with pytest.raises(ValueError, match="never: 0 events to befall"):
        planted(events, [Kind("never", lambda *_: None, lambda event: False)], np.random.default_rng(0))


def test_a_summary_counts_recall_for_each_kind_and_precision() -> None:
    flagged, error = np.zeros(4_000, bool), np.zeros(4_000, np.float32)
    truth = {3_100: "a", 3_200: "a", 3_300: "b", 3_400: "b"}
    flagged[[3_100 - 100, 3_500 - 100, 10]] = True
    error[[3_100 - 100, 3_200 - 100]] = 2.0
    found = summarize(Case("x"), truth, 100, flagged, error, 0.01)
    assert {kind: result.recall for kind, result in found.kinds.items()} == {"a": 0.5, "b": 0.0}
    assert found.kinds["a"].above == 0.0
    assert (found.mean_recall, found.never_found) == (0.25, 1)
    assert found.precision == pytest.approx(1 / 3)
    hits, alarms = 0.004 * 1 / 4, 0.996 * 1 / (1_100 - 4)
    assert found.precision_at_share == pytest.approx(hits / (hits + alarms))


def leaves(event: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted paths and values."""
    found: list[tuple[str, Any]] = []
    for name, value in event.items():
        found += leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return found
