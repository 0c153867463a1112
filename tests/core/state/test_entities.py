"""Entity statistics: against a plain reference that takes one event at a time, and whatever the batches."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
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

SPEC = FeatureSpec.model_validate(
    {
        "features": [
            {"field": "size", "kind": "numeric"},
            {"field": "bytes", "kind": "rate", "half_life": "60s", "transform": "log"},
            {"field": "proto", "kind": "categorical"},
            {"field": "delay", "kind": "rate", "half_life": "60s"},
            {"field": "bytes", "kind": "rate", "half_life": "1h"},
        ],
        "entity": "host",
    }
)
WINDOWED = FeatureSpec(features=SPEC.features, entity="host", window=4)
BOUNDS = Bounds(entities=5, idle_ms=600_000)


@dataclass
class Event:
    name: str | None
    time: int
    clock: int
    bytes: float
    delay: float


@dataclass
class Memory:
    time: int
    clock: int
    counts: dict[float, float] = field(default_factory=dict)
    values: dict[int, dict[str, float]] = field(default_factory=dict)
    rows: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass
class Reference:
    """The definition, one event at a time and in plain Python."""

    window: int = 1
    known: OrderedDict[str | None, Memory] = field(default_factory=OrderedDict)
    evicted: int = 0
    late: int = 0

    def take(self, event: Event, number: int) -> list[tuple[Any, ...]]:
        """The event's window, newest first."""
        for name in [n for n, memory in self.known.items() if memory.clock < event.clock - BOUNDS.idle_ms]:
            del self.known[name]
            self.evicted += 1
        time = min(event.time, event.clock)
        memory = self.known.pop(event.name, None)
        gap = math.nan if memory is None else max(time - memory.time, 0) / 1_000.0
        if memory is None:
            if len(self.known) == BOUNDS.entities:
                self.known.popitem(last=False)
                self.evicted += 1
            memory = Memory(time, event.clock)
        self.known[event.name] = memory
        behind = memory.time - time
        self.late += behind > 0
        counts = {seconds: self._count(memory, seconds, behind) for seconds in (60.0, 3_600.0)}
        log = math.copysign(math.log1p(abs(event.bytes)), event.bytes) if not math.isnan(event.bytes) else math.nan
        first = self._rate(memory, 0, log, 60.0, behind)
        delay = self._rate(memory, 1, event.delay, 60.0, behind)
        slow = self._rate(memory, 2, event.bytes, 3_600.0, behind)
        memory.time, memory.clock = max(memory.time, time), event.clock
        row = (float(number), _unlog(first[0]), *first[1:], counts[60.0], gap, f"p{number % 3}", *delay,
               *slow, counts[3_600.0])  # fmt: skip
        memory.rows = [row, *memory.rows][: self.window]
        return memory.rows + [memory.rows[-1]] * (self.window - len(memory.rows))

    def _count(self, memory: Memory, seconds: float, behind: int) -> float:
        decay = 2.0 ** (-abs(behind) / (1_000.0 * seconds))
        before = memory.counts.get(seconds, 0.0) * (decay if behind < 0 else 1.0)
        memory.counts[seconds] = before + (decay if behind > 0 else 1.0)
        return before

    def _rate(self, memory: Memory, number: int, x: float, seconds: float, behind: int) -> tuple[float, float, float]:
        decay = 2.0 ** (-abs(behind) / (1_000.0 * seconds))
        s = memory.values.setdefault(number, {"n": 0, "w": 0.0, "mean": 0.0, "m2": 0.0})
        if behind < 0:
            s["w"] *= decay
            s["m2"] *= decay
        if s["w"] < 1e-12:
            s.update(n=0, w=0.0, mean=0.0, m2=0.0)
        mean = s["mean"] if s["n"] >= 1 else math.nan
        deviation = math.sqrt(s["m2"] / s["w"]) if s["n"] >= 2 else math.nan
        least = max(deviation, 1e-3 * abs(s["mean"]), 1e-9) if s["n"] >= 2 else math.nan
        change = (x - s["mean"]) / least if s["n"] >= 8 else math.nan
        if not math.isnan(x):
            if s["n"] >= 8:
                x = min(max(x, s["mean"] - 5 * least), s["mean"] + 5 * least)
            share = decay if behind > 0 else 1.0
            s["w"] += share
            delta = x - s["mean"]
            s["mean"] += share / s["w"] * delta
            s["m2"] += share * delta * (x - s["mean"])
            s["n"] += 1
        return mean, deviation, change


def _unlog(value: float) -> float:
    return value if math.isnan(value) else math.copysign(math.expm1(abs(value)), value)


def stream(rng: np.random.Generator, count: int, names: int) -> list[Event]:
    """Late, future and missing among them; pauses that outlast the idle bound."""
    clock, events = 1_000_000, []
    for _ in range(count):
        clock += int(rng.choice([0, 50, 1_000, 30_000, 700_000], p=[0.3, 0.3, 0.3, 0.09, 0.01]))
        name = f"h{rng.integers(names)}" if rng.random() > 0.05 else None
        size = float(np.round(np.exp(rng.normal(5, 1)), 2)) if rng.random() > 0.05 else math.nan
        delay = float(rng.normal(1, 0.1)) if rng.random() > 0.02 else 50.0
        events.append(Event(name, clock + int(rng.choice([0, -90_000, 40_000], p=[0.8, 0.1, 0.1])), clock, size, delay))
    return events


def decoded(events: list[Event], first: int) -> Columns:
    sizes = np.array([e.bytes for e in events])
    protocols = np.array([f"p{(first + i) % 3}" for i in range(len(events))], object)
    return Columns(
        (first + np.arange(float(len(events))), sizes, protocols, np.array([e.delay for e in events]), sizes)
    )


def fed(entities: Entities, events: list[Event], cuts: list[int]) -> tuple[list[Columns], int, int]:
    parts, evicted, late = [], 0, 0
    for start, stop in zip([0, *cuts], [*cuts, len(events)], strict=True):
        batch = events[start:stop]
        seen = entities.observe(
            decoded(batch, start),
            pack_names([e.name for e in batch]),
            np.array([e.time for e in batch], np.int64),
            np.array([e.clock for e in batch], np.int64),
            np.arange(start, stop, dtype=np.int64),
        )
        parts.append(seen.columns)
        evicted, late = evicted + seen.evicted, late + seen.late
    return [part for part in parts if len(part)], evicted, late


def rows_of(columns: Columns, window: int) -> list[list[tuple[Any, ...]]]:
    lags = columns.lags if columns.lags is not None else np.arange(len(columns))[:, None]
    return [[tuple(values[row] for values in columns.values) for row in of] for of in lags]


@pytest.mark.parametrize("spec", [SPEC, WINDOWED], ids=["rates", "rates and windows"])
@pytest.mark.parametrize("seed", range(4))
def test_against_one_event_at_a_time(spec: FeatureSpec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    events = stream(rng, 600, names=9)
    reference = Reference(spec.window)
    wanted = [reference.take(event, i) for i, event in enumerate(events)]
    cuts = sorted(rng.choice(600, 7, replace=False).tolist())
    parts, evicted, late = fed(Entities(spec, BOUNDS), events, cuts)
    found = [row for part in parts for row in rows_of(part, spec.window)]
    assert (evicted, late) == (reference.evicted, reference.late)
    assert evicted > 20
    assert late > 20
    for ours, theirs in zip(found, wanted, strict=True):
        for own, their in zip(ours, theirs, strict=True):
            assert own[6] == their[6]
            found_, wanted_ = (np.array(row[:6] + row[7:], float) for row in (own, their))
            np.testing.assert_allclose(found_, wanted_, rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 120), max_size=8))
@settings(max_examples=40, deadline=None)
def test_batches_and_snapshots_do_not_show(seed: int, cuts: list[int]) -> None:
    """Same bits whatever the cuts, also where the state goes through segments on the way."""
    events = stream(np.random.default_rng(seed), 120, names=7)
    whole = Entities(WINDOWED, BOUNDS)
    at_once = fed(whole, events, [])[0]
    cut = Entities(WINDOWED, BOUNDS)
    parts: list[Columns] = []
    segments: list[bytes] = []
    edges = [0, *sorted(cuts), 120]
    for start, stop in pairwise(edges):
        entities = Entities(WINDOWED, BOUNDS)
        entities.load(segments, cut.oldest)
        for i, event in enumerate(events[start:stop], start):
            seen = entities.observe(decoded([event], i), pack_names([event.name]), np.array([event.time]),
                                    np.array([event.clock]), np.array([i]))  # fmt: skip
            parts.append(seen.columns)
        segments += [encode() for encode in entities.capture(start)]
        cut = entities
    assert [e() for e in cut.capture(0)] == [e() for e in whole.capture(0)]
    assert len(cut) == len(whole)
    if parts:
        joined = [Columns.concat(p) for p in (parts, at_once)]
        assert repr(rows_of(joined[0], 4)) == repr(rows_of(joined[1], 4))
        assert to_bytes(joined[0], WINDOWED) == to_bytes(joined[1], WINDOWED)


def test_one_event_moves_a_baseline_only_a_little() -> None:
    calm = [Event("a", i * 1_000, i * 1_000, 100.0 + i % 3, 1.0 + 0.01 * (i % 2)) for i in range(200)]
    wild = Event("a", 200_000, 200_000, 1e12, 1e9)
    after = Event("a", 201_000, 201_000, 101.0, 1.0)
    entities = Entities(SPEC, Bounds())
    parts, _, _ = fed(entities, [*calm, wild, after], [201])
    mean, change = SPEC.names.index("delay:mean:60s"), SPEC.names.index("delay:change:60s")
    assert parts[0].values[change][200] > 1e6
    assert parts[1].values[mean][0] == pytest.approx(parts[0].values[mean][200], rel=0.01)


def test_an_entity_without_a_past_has_missing_values() -> None:
    parts, _, _ = fed(Entities(SPEC, Bounds()), [Event("a", 5, 5, 1.0, 1.0)], [])
    row = dict(zip(SPEC.names, (column[0] for column in parts[0].values), strict=True))
    assert row["bytes:count:60s"] == 0.0
    for name in ("bytes:gap:60s", "bytes:mean:60s", "bytes:deviation:60s", "bytes:change:60s"):
        assert math.isnan(row[name]), name


def test_who_was_forgotten_does_not_come_back_out_of_an_older_segment() -> None:
    entities, idle = Entities(SPEC, BOUNDS), BOUNDS.idle_ms
    fed(entities, [Event("gone", 0, 0, 1.0, 1.0), Event("stays", 1, 1, 1.0, 1.0)], [])
    older = [encode() for encode in entities.capture(0)]
    late = [Event("stays", idle, idle, 1.0, 1.0), Event("stays", idle + 1, idle + 1, 1.0, 1.0)]
    for offset, event in enumerate(late, 2):
        time, clock = np.array([event.time]), np.array([event.clock])
        entities.observe(decoded([event], offset), pack_names([event.name]), time, clock, np.array([offset]))
    assert len(entities) == 1
    restored = Entities(SPEC, BOUNDS)
    restored.load([*older, *(encode() for encode in entities.capture(2))], entities.oldest)
    assert len(restored) == 1
    assert [e() for e in restored.capture(0)] == [e() for e in entities.capture(0)]


def test_damaged_segments_are_refused() -> None:
    entities = Entities(SPEC, Bounds())
    fed(entities, stream(np.random.default_rng(0), 50, 5), [])
    raw = entities.capture(0)[0]()
    for damaged in (b"", raw[:-9], b"\x93\x90\x90\x90"):
        with pytest.raises(ValueError, match="not entities"):
            Entities(SPEC, Bounds()).load([damaged], 0)
