"""Segments: a snapshot writes what changed, rarely the same row twice, and all segments together are the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.examples import SPEC, rows, scored_rows
from worker.core.model.serving_model import Versions
from worker.core.state.partition_state import PartitionState
from worker.core.state.reservoir import Reservoir, draw_uniform, partition_seed
from worker.core.state.segments import RATIO, plan_segments

N = 400
COLUMNS = rows(N, missing=0.05)


@dataclass(frozen=True)
class _Part:
    since: int
    rows: int
    content: bytes


class OneRowPerOffset:
    """A table of `count` rows of which each changed at its own offset."""

    def __init__(self, count: int) -> None:
        self._count = count

    def changed(self, since: int) -> int:
        return max(self._count - since, 0)

    def capture(self, since: int) -> list[Callable[[], bytes]]:
        return [lambda: b"%d" % since]


def test_the_first_snapshot_writes_the_whole_table() -> None:
    shared, fresh = plan_segments(OneRowPerOffset(10), list[_Part](), 0)
    assert (shared, fresh is not None and (fresh.since, fresh.rows)) == ([], (0, 10))


def test_an_unchanged_table_is_shared_as_it_is() -> None:
    kept = [_Part(0, 10, b""), _Part(8, 2, b"")]
    assert plan_segments(OneRowPerOffset(10), kept, 10) == (kept, None)
    assert plan_segments(OneRowPerOffset(0), list[_Part](), 10) == ([], None)


@pytest.mark.parametrize(("new", "merged"), [(1, 0), (5, 0), (6, 1), (50, 1)])
def test_a_segment_less_than_twice_as_large_as_what_follows_is_merged_with_it(new: int, merged: int) -> None:
    kept = [_Part(0, 10, b"")]
    shared, fresh = plan_segments(OneRowPerOffset(10 + new), kept, 10)
    assert RATIO == 2
    assert fresh is not None
    assert (len(shared), fresh.since, fresh.rows) == ((0, 0, 10 + new) if merged else (1, 10, new))
    assert [encode() for encode in fresh.encoders] == [b"%d" % fresh.since]


def test_merging_goes_on_down_to_a_segment_that_is_large_enough() -> None:
    kept = [_Part(0, 64, b""), _Part(64, 8, b""), _Part(72, 4, b"")]
    shared, fresh = plan_segments(OneRowPerOffset(79), kept, 76)
    assert shared == kept[:1]
    assert fresh is not None and (fresh.since, fresh.rows) == (64, 15)


def test_a_segment_of_several_chunks_is_merged_as_one() -> None:
    kept = [_Part(0, 3, b"first"), _Part(0, 3, b"second"), _Part(6, 1, b"")]
    shared, fresh = plan_segments(OneRowPerOffset(10), kept, 7)
    assert (shared, fresh is not None and fresh.since) == ([], 0)
    shared, fresh = plan_segments(OneRowPerOffset(9), kept, 8)
    assert (shared, fresh is not None and fresh.since) == (kept[:2], 6)


@given(st.lists(st.integers(1, 120), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_segments_share_what_did_not_change_and_give_the_same_state(steps: list[int]) -> None:
    """A chain of snapshots, each on top of the one before, as the worker takes them."""
    state, parts, at = PartitionState(SPEC, "topic-id", 2, 1_000, 60_000), dict[str, list[_Part]](), 1_000
    state.adopt(Versions("bundle", "threshold"))
    first, offsets = 0, np.arange(1_000, 1_000 + N)  # without gaps, so that the next row has the next offset
    for step in steps:
        stop = min(first + step, N)
        if first < stop:
            state.fold(scored_rows(COLUMNS.take(slice(first, stop)), offsets[first:stop]), ())
            first = stop
            state.next_offset = int(offsets[stop - 1]) + 1
        for name, table in state.tables.items():
            shared, fresh = plan_segments(table, parts.get(name, []), at)
            written = [_Part(fresh.since, fresh.rows, encode()) for encode in fresh.encoders] if fresh else []
            parts[name] = shared + written
            # Each segment is at least twice as large as the rows after it, so there are few of them.
            assert len(parts[name]) <= 2 + np.log2(max(table.changed(0), 1))
        at = state.next_offset
        tables = {name: [part.content for part in held] for name, held in parts.items()}
        assert PartitionState.restore(state.head(), tables, SPEC, 60_000).encode() == state.encode()


def test_many_small_changes_are_written_few_times_and_in_few_segments() -> None:
    """40 snapshots of 10 new rows each: a row is written O(log n) times, not once per snapshot."""
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
