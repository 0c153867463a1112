"""`delta` and `unchanged`, compared with a plain reference that takes one event at a time, for any batches."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.events.columns import Columns, to_bytes
from worker.core.events.entity_names import pack_names
from worker.core.events.spec import FeatureSpec
from worker.core.state.bounds import Bounds
from worker.core.state.entities import Entities

DELTAS: list[dict[str, Any]] = [
    {"field": "x", "kind": "delta"},
    {"field": "x", "kind": "delta", "per": "second"},
    {"field": "x", "kind": "delta", "counter": True},
    {"field": "x", "kind": "delta", "counter": True, "per": "second"},
]
UNCHANGED = {"field": "x", "kind": "unchanged"}
SPEC = FeatureSpec.model_validate({"features": [*DELTAS, UNCHANGED], "entity": "host"})
MIXED = FeatureSpec.model_validate(
    {
        "features": [
            DELTAS[3],
            {"field": "x", "kind": "numeric"},
            {"field": "x", "kind": "rate", "half_life": "60s"},
            UNCHANGED,
            {"field": "x", "kind": "rate", "half_life": "1h"},
        ],
        "entity": "host",
        "window": 3,
    }
)
BOUNDS = Bounds(entities=4, idle_ms=600_000)


@dataclass
class Event:
    name: str | None
    time: int
    clock: int
    x: float


@dataclass
class Memory:
    """What one feature remembers of one entity."""

    value: float
    time: int
    since: int
    pending: float = 0.0


class Reference:
    """The definition, one event at a time and in plain Python."""

    def __init__(self) -> None:
        self.known: OrderedDict[str | None, tuple[int, dict[int, Memory]]] = OrderedDict()

    def take(self, event: Event) -> list[float]:
        for name in [name for name, (clock, _) in self.known.items() if clock < event.clock - BOUNDS.idle_ms]:
            del self.known[name]
        if event.name not in self.known and len(self.known) == BOUNDS.entities:
            self.known.popitem(last=False)
        _, memories = self.known.pop(event.name, (0, {}))
        self.known[event.name] = event.clock, memories
        results = [self._delta(memories, number, event, **asked) for number, asked in enumerate(DELTAS)]
        return [*results, self._unchanged(memories, event)]

    def _last(self, memories: dict[int, Memory], number: int, event: Event) -> Memory | None:
        """None: there is no last value to compare with, and this one may become the first."""
        last = memories.get(number)
        return None if last is None or (event.time < last.time and last.time > event.clock) else last

    def _delta(self, memories: dict[int, Memory], number: int, event: Event, **asked: Any) -> float:
        last = self._last(memories, number, event)
        if math.isnan(event.x) or (last is not None and event.time < last.time):
            return math.nan
        after = Memory(event.x, event.time, event.time)
        if last is None:
            if math.isfinite(event.x):
                memories[number] = after
            return math.nan
        change = event.x if asked.get("counter") and event.x < last.value else event.x - last.value
        change = min(max(change, -1e100), 1e100)
        seconds = (event.time - last.time) / 1_000.0
        if asked.get("per") == "second":
            change += last.pending
            after.pending = 0.0 if seconds else change
            result = min(max(change / seconds, -1e100), 1e100) if seconds else math.nan
        else:
            result = change
        if math.isfinite(event.x):
            memories[number] = after
        return result

    def _unchanged(self, memories: dict[int, Memory], event: Event) -> float:
        last = self._last(memories, -1, event)
        if math.isnan(event.x) or (last is not None and event.time < last.time):
            return math.nan
        same = last is not None and last.value == event.x
        memories[-1] = Memory(event.x, event.time, last.since if last is not None and same else event.time)
        return math.nan if last is None else (event.time - memories[-1].since) / 1_000.0


VALUES = [0.0, -0.0, 5.0, 5.0, 5.0, 7.25, 1e9, 1e9 + 1, -3.5, math.nan, math.inf, -math.inf, 1.7e308, -1.7e308]


def stream(rng: np.random.Generator, count: int, names: int) -> list[Event]:
    """Events that are late, ahead of the clock, or share a time; missing, infinite, huge, and equal values; pauses."""
    clock, events = 1_000_000, []
    for _ in range(count):
        clock += int(rng.choice([0, 50, 1_000, 30_000, 700_000], p=[0.4, 0.2, 0.3, 0.09, 0.01]))
        name = f"h{rng.integers(names)}" if rng.random() > 0.05 else None
        x = float(rng.choice(VALUES)) if rng.random() < 0.5 else float(np.round(rng.normal(100, 30), 1))
        shift = int(rng.choice([0, -90_000, 40_000, 9_000_000], p=[0.8, 0.1, 0.08, 0.02]))
        events.append(Event(name, clock + shift, clock, x))
    return events


def observe(entities: Entities, events: list[Event], first: int, spec: FeatureSpec) -> Columns:
    return entities.observe(
        Columns(tuple(np.array([e.x for e in events], np.float64) for _ in spec.features)),
        pack_names([e.name for e in events]),
        np.array([e.time for e in events], np.int64),
        np.array([e.clock for e in events], np.int64),
        np.arange(first, first + len(events), dtype=np.int64),
    ).columns


def bits(rows: Any) -> bytes:
    return np.asarray(rows, np.float64).tobytes()


@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(1, 199), max_size=6, unique=True))
@settings(max_examples=60, deadline=None)
def test_against_one_event_at_a_time(seed: int, cuts: list[int]) -> None:
    events = stream(np.random.default_rng(seed), 200, names=6)
    reference, entities = Reference(), Entities(SPEC, BOUNDS)
    wanted = [reference.take(event) for event in events]
    parts = [observe(entities, events[a:b], a, SPEC) for a, b in pairwise([0, *sorted(cuts), 200])]
    found = np.stack(Columns.concat(parts).values, axis=1)
    np.testing.assert_array_equal(found, np.array(wanted))
    assert np.isfinite(found).any(axis=0).all()


@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 120), max_size=6))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("spec", [SPEC, MIXED], ids=["alone", "beside rates and a window"])
def test_batches_and_snapshots_change_no_bit(spec: FeatureSpec, seed: int, cuts: list[int]) -> None:
    """The bits are the same for any cuts, even if the state is stored in segments and loaded at each of them."""
    events = stream(np.random.default_rng(seed), 120, names=6)
    whole = Entities(spec, BOUNDS)
    at_once = observe(whole, events, 0, spec)
    before, segments, parts = Entities(spec, BOUNDS), list[bytes](), list[Columns]()
    for start, stop in pairwise([0, *sorted(cuts), 120]):
        entities = Entities(spec, BOUNDS)
        entities.load(segments, before.oldest)
        if start < stop:
            parts.append(observe(entities, events[start:stop], start, spec))
        segments += [encode() for encode in entities.capture(start)]
        before = entities
    assert [encode() for encode in before.capture(0)] == [encode() for encode in whole.capture(0)]
    assert to_bytes(Columns.concat(parts), spec) == to_bytes(at_once, spec)


def take(features: list[dict[str, Any]], *records: tuple[float, float], clocks: list[float] | None = None) -> list[Any]:
    """The columns of records of one entity, each a time in seconds and a value; the clock follows their times."""
    spec = FeatureSpec.model_validate({"features": features})
    times = [int(1_000 * seconds) for seconds, _ in records]
    running = np.maximum.accumulate(times).tolist() if clocks is None else [int(1_000 * clock) for clock in clocks]
    events = [Event("a", time, clock, x) for time, clock, (_, x) in zip(times, running, records, strict=True)]
    columns = observe(Entities(spec, Bounds()), events, 0, spec).values
    return [[None if math.isnan(value) else value for value in column.tolist()] for column in columns]


def test_a_counter_that_falls_was_reset() -> None:
    """What it has counted since the reset is not lost: 20 in the ten seconds after 150."""
    records = [(0.0, 100.0), (10.0, 150.0), (20.0, 20.0), (30.0, 50.0)]
    assert take(DELTAS, *records) == [
        [None, 50.0, -130.0, 30.0],
        [None, 5.0, -13.0, 3.0],
        [None, 50.0, 20.0, 30.0],
        [None, 5.0, 2.0, 3.0],
    ]


def test_what_came_while_no_time_passed_is_counted_when_it_has() -> None:
    """Also over a reset: 40 before it and 30 after it, in two seconds."""
    records = [(0.0, 100.0), (0.0, 140.0), (0.0, 10.0), (2.0, 30.0), (4.0, 50.0)]
    assert take(DELTAS[2:], *records) == [[None, 40.0, 10.0, 20.0, 20.0], [None, None, None, 35.0, 10.0]]


def test_a_late_record_has_no_result_and_changes_none() -> None:
    """Read in offset order, the late value of a counter would be a reset, and the next one a jump."""
    on_time = [(0.0, 100.0), (10.0, 150.0), (20.0, 200.0)]
    late = [*on_time[:2], (5.0, 120.0), on_time[2]]
    for column, with_late in zip(take([*DELTAS, UNCHANGED], *on_time), take([*DELTAS, UNCHANGED], *late), strict=True):
        assert with_late == [*column[:2], None, column[2]]


def test_a_pause_that_the_clock_does_not_follow_is_counted_in_full() -> None:
    """The clock moves by an hour a record at most; the seconds of a rate must be those of the events."""
    records, clocks = [(0.0, 0.0), (36_000.0, 72_000.0), (36_010.0, 72_020.0)], [0.0, 3_600.0, 7_200.0]
    assert take([DELTAS[3], UNCHANGED], *records, clocks=clocks) == [[None, 2.0, 2.0], [None, 0.0, 0.0]]
    same = [(seconds, 7.0) for seconds, _ in records]
    assert take([UNCHANGED], *same, clocks=clocks) == [[None, 36_000.0, 36_010.0]]


def test_an_event_from_a_far_future_costs_one_more_value() -> None:
    records = [(0.0, 100.0), (1e9, 150.0), (20.0, 200.0), (30.0, 250.0)]
    clocks = [0.0, 3_600.0, 3_600.0, 3_600.0]
    assert take([DELTAS[3], UNCHANGED], *records, clocks=clocks) == [[None, 5e-8, None, 5.0], [None, 0.0, None, 0.0]]


def test_missing_and_infinite_values_are_not_remembered_by_a_delta() -> None:
    records = [(0.0, math.inf), (1.0, 10.0), (2.0, math.nan), (3.0, math.inf), (4.0, -math.inf), (5.0, 12.0)]
    assert take(DELTAS[:2], *records) == [
        [None, None, None, 1e100, -1e100, 2.0],
        [None, None, None, 5e99, -1e100 / 3, 0.5],
    ]


def test_a_value_that_stands_still_and_begins_to_move() -> None:
    records = [(0.0, 7.0), (10.0, 7.0), (20.0, math.nan), (30.0, 7.0), (40.0, 8.0), (45.0, 8.0), (50.0, 7.0)]
    assert take([UNCHANGED], *records) == [[None, 10.0, None, 30.0, 0.0, 5.0, 0.0]]


def test_entities_are_compared_with_themselves_and_forgotten() -> None:
    events = [Event("a", 0, 0, 1.0), Event("b", 0, 0, 100.0), Event("a", 1_000, 1_000, 3.0)]
    events += [Event("b", 600_001, 600_001, 107.0), Event("a", 600_002, 600_002, 4.0)]
    entities = Entities(SPEC, BOUNDS)  # b was silent for longer than the idle bound, a was not
    deltas = observe(entities, events, 0, SPEC).values[0]
    np.testing.assert_array_equal(deltas, [math.nan, math.nan, 2.0, math.nan, 1.0])


def test_the_columns_are_numbers_named_after_field_and_kind() -> None:
    assert MIXED.names[:3] == ("x:delta", "x", "x:mean:60s")
    assert [column.transform for column in SPEC.columns if column.kind == "numeric"] == ["asinh"] * 4 + ["log"]
    assert SPEC.stateful
    assert FeatureSpec.model_validate({"features": [UNCHANGED]}).stateful


def test_a_spec_without_them_keeps_its_hash_and_the_bytes_of_its_state() -> None:
    """Computed with the release before they came: a change would throw away the models and state of every stream."""
    spec = FeatureSpec.model_validate(
        {
            "features": [{"field": "x", "kind": "rate", "half_life": "1s"}, {"field": "x", "kind": "numeric"}],
            "entity": "host",
            "window": 2,
        }
    )
    entities = Entities(spec, BOUNDS)
    observe(entities, [Event(f"h{i % 3}", 1_000 * i, 1_000 * i, float(i)) for i in range(12)], 0, spec)
    state = b"".join(encode() for encode in entities.capture(0))
    assert spec.spec_hash == "sha256:24915f51254a16208430bfbe5b0cfa32e931c8b02ea9370884cd3ad76e19fa78"
    assert hashlib.sha256(state).hexdigest() == "e40ad36f00f11e6a0a575fb34649115d4fa5518003b386a3611264a8e84f4e5a"
