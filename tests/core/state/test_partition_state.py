"""The state of a partition is a fold over its log: the batches do not matter, and neither does a restore in between."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.examples import SPEC, judged, rows
from worker.core.model.histogram import BUCKETS, RING_HOURS, HistogramRing
from worker.core.model.serving_model import Versions
from worker.core.state.incidents import Evidence, Flagged
from worker.core.state.partition_state import RECENT_LEAST, PartitionState, ScoredRows
from worker.core.state.reservoir import Reservoir, draw_uniform, held_out, partition_seed
from worker.core.state.segments import plan_segments

N = 400
COLUMNS = rows(N, missing=0.05)
OFFSETS = np.arange(1_000, 1_000 + 3 * N, 3)


def flagged(batch: ScoredRows, row: int) -> Flagged:
    time = int(batch.times.times[row])
    return Flagged("e", int(batch.offsets[row]), time, time, time, Evidence(0.01, 9.9, 9.5, 100, 1, "k", False))


def folded(cuts: list[int], restore_at: int | None = None) -> PartitionState:
    state = PartitionState(SPEC, "topic-id", 2, 1_000, 60_000)
    state.adopt(Versions("bundle", "threshold"))
    for start, stop in zip([0, *cuts], [*cuts, N], strict=True):
        part = slice(start, stop)
        batch = judged(COLUMNS.take(part), OFFSETS[part])
        state.fold(batch, [flagged(batch, row) for row in np.flatnonzero(batch.flagged).tolist()])
        if restore_at is not None and start <= restore_at < stop:
            state = PartitionState.decode(state.encode(), SPEC, 60_000)
    return state


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, N), max_size=12).map(sorted), st.integers(0, N - 1))
def test_batches_and_a_restore_leave_no_trace(cuts: list[int], restore_at: int) -> None:
    assert folded(cuts, restore_at).encode() == folded([]).encode()


def test_the_ring_counts_p_values_across_versions_and_forgets_old_hours() -> None:
    state = folded([])
    state.adopt(Versions("other bundle", "other threshold"))
    expected = np.bincount(judged(COLUMNS, OFFSETS).p_buckets, minlength=BUCKETS)
    assert (state.ring.total() == expected).all()
    assert (HistogramRing.merge([state.ring, state.ring]).total() == 2 * expected).all()
    for hour in range(200, 200 + RING_HOURS):
        state.fold(judged(COLUMNS.take(slice(0, 10)), np.arange(10) + hour * 3_600), ())
    assert state.ring.total().sum() == 10 * RING_HOURS


def test_what_is_recent_is_paced_by_the_versions() -> None:
    state = folded([])
    state.next_offset = 5_000
    state.adopt(Versions("bundle", "another threshold"))
    assert state.recent.half_life == RECENT_LEAST
    state.adopt(Versions("second bundle", "threshold"))
    assert state.recent.half_life == 3 * 4_000
    assert PartitionState.decode(state.encode(), SPEC, 60_000).recent.half_life == 3 * 4_000


def grown(served: int, half_life: float) -> float:
    return served / half_life if served <= half_life else 1.0 + math.log(served / half_life)


def test_a_reservoir_that_changes_pace_keeps_its_order() -> None:
    """Against a brute force: the log of a row's weight grows by ln 2 in the first half-life of a version, and by ln 2
    times the logarithm of how many half-lives it served, after it.
    """
    offsets, capacity = np.arange(2_000), 200
    draws = draw_uniform(partition_seed("t", 3), offsets)
    sample, columns = Reservoir(SPEC, capacity, 50.0), rows(2_000)
    for start, half_life in ((0, 50.0), (1_000, 400.0)):
        sample.pace(half_life, start)
        part = slice(start, start + 1_000)
        sample.offer(draws[part], offsets[part], offsets[part], np.zeros(1_000, np.uint8), columns.take(part))
    age = np.log(2) * np.array([grown(i, 50.0) if i < 1_000 else grown(1_000, 50.0) + grown(i - 1_000, 400.0)
                                for i in range(2_000)])  # fmt: skip
    order = np.argsort(-(age - np.log(-np.log(draws))))
    assert len(sample) == capacity
    assert sample.offsets.tolist() == np.sort(order[:capacity]).tolist()
    assert sample.offsets[sample.best(20)].tolist() == np.sort(order[:20]).tolist()


def test_a_quarter_of_the_stream_is_held_out_by_whole_blocks() -> None:
    held = held_out(partition_seed("t", 0), np.arange(64 * 20_000)).reshape(-1, 64)
    assert (held.all(1) | ~held.any(1)).all()
    assert held[:, 0].mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("damage", ["format", "spec", "ring", "oldest"])
def test_a_damaged_head_is_refused(damage: str) -> None:
    plain = msgspec.msgpack.decode(folded([]).head())
    plain[damage] = {"format": 99, "spec": "sha256:other", "ring": [[1]], "oldest": 3}[damage]
    with pytest.raises(ValueError, match=r"\w"):
        PartitionState.restore(msgspec.msgpack.encode(plain), {}, SPEC, 60_000)


def test_a_damaged_table_is_refused() -> None:
    state = folded([])
    for name in ("recent", "incidents", "entities"):
        with pytest.raises(ValueError, match="not "):
            PartitionState.restore(state.head(), {name: [b"\x93abc"]}, SPEC, 60_000)


@pytest.mark.parametrize("half_life", [None, 100.0])
def test_a_reservoir_keeps_the_highest_priorities(half_life: float | None) -> None:
    """Against a brute force over all rows: key log(weight) - log(exponential)."""
    count_, capacity = 5_000, 300
    offsets = np.arange(count_)
    draws = draw_uniform(partition_seed("t", 0), offsets)
    sample = Reservoir(SPEC, capacity, half_life)
    columns = rows(count_)
    for start in range(0, count_, 50):
        part = slice(start, start + 50)
        marks = np.zeros(len(offsets[part]), np.uint8)
        sample.offer(draws[part], offsets[part], offsets[part], marks, columns.take(part))
        sample.settle()  # the floor is as high as it gets: nothing above it may be left out
    assert len(sample) == capacity
    weight_log = np.log(2) * np.array([grown(i, half_life) if half_life else 0.0 for i in range(count_)])
    best = np.sort(np.argsort(-(weight_log - np.log(-np.log(draws))))[:capacity])
    assert sample.offsets.tolist() == best.tolist()
    if half_life is None:
        assert 0.4 < sample.offsets.mean() / count_ < 0.6
    else:
        assert sample.offsets.mean() > 0.55 * count_


def test_draws_are_uniform_and_never_the_ends() -> None:
    draws = draw_uniform(partition_seed("t", 1), np.arange(200_000))
    assert (draws > 0).all() and (draws < 1).all()
    assert np.quantile(draws, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.005)


@given(st.lists(st.integers(1, 120), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_segments_share_what_did_not_change_and_give_the_same_state(steps: list[int]) -> None:
    """A chain of snapshots, each on top of the one before, as the worker takes them."""
    state, parts, at = PartitionState(SPEC, "topic-id", 2, 1_000, 60_000), dict[str, list[_Part]](), 1_000
    state.adopt(Versions("bundle", "threshold"))
    first, offsets = 0, np.arange(1_000, 1_000 + N)  # without gaps: the next row is at the very next offset
    for step in steps:
        stop = min(first + step, N)
        if first < stop:
            state.fold(judged(COLUMNS.take(slice(first, stop)), offsets[first:stop]), ())
            first = stop
            state.next_offset = int(offsets[stop - 1]) + 1
        for name, table in state.tables.items():
            shared, fresh = plan_segments(table, parts.get(name, []), at)
            written = [_Part(fresh.since, fresh.rows, encode()) for encode in fresh.encoders] if fresh else []
            parts[name] = shared + written
            # Each is at least twice what comes after it: few of them, and not many times the rows that are alive.
            assert len(parts[name]) <= 2 + np.log2(max(table.changed(0), 1))
        at = state.next_offset
        tables = {name: [part.content for part in held] for name, held in parts.items()}
        assert PartitionState.restore(state.head(), tables, SPEC, 60_000).encode() == state.encode()


def test_many_small_changes_are_written_few_times_and_in_few_segments() -> None:
    """40 snapshots of 10 new rows each: a row is written O(log n) times, not once a snapshot."""
    sample, kept, written = Reservoir(SPEC, 1_000, None), list[_Part](), 0
    draws, columns = draw_uniform(partition_seed("t", 0), np.arange(400)), rows(400)
    for start in range(0, 400, 10):
        part = slice(start, start + 10)
        offsets = np.arange(start, start + 10)
        sample.offer(draws[part], offsets, offsets, np.zeros(10, np.uint8), columns.take(part))
        shared, fresh = plan_segments(sample, kept, start)
        assert fresh is not None
        written += fresh.rows
        kept = [*shared, _Part(fresh.since, fresh.rows, b"")]
        assert len(kept) <= 2 + np.log2(start + 10)
    assert sum(part.rows for part in kept) == 400
    assert written <= 400 * np.log2(400)
    assert written < 40 * 400 / 4


@dataclass(frozen=True)
class _Part:
    since: int
    rows: int
    content: bytes
