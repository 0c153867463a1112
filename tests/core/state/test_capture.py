"""From a state to snapshots, each on the one before, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.core.examples import SPEC, rows, scored_rows
from worker.core.model.serving_model import Versions
from worker.core.state.bounds import Bounds
from worker.core.state.capture import capture_state, restore_state
from worker.core.state.partition_state import PartitionState
from worker.core.state.snapshot import HEAD, Snapshot, chunk_name

NOW = 1_800_000_000_000
COLUMNS = rows(400)


def fold(state: PartitionState, count: int) -> PartitionState:
    """Take a state through the next `count` records."""
    first = state.next_offset
    offsets = np.arange(first, first + count)
    state.fold(scored_rows(COLUMNS.take(slice(first, first + count)), offsets), ())
    state.next_offset = first + count
    return state


def new_state() -> PartitionState:
    state = PartitionState(SPEC, "topic-id", 2, 0, 60_000)
    state.adopt(Versions("bundle", "threshold"))
    return state


def captured(state: PartitionState, parent: Snapshot | None = None) -> Snapshot:
    ancestors = (parent.ancestor, *parent.ancestors) if parent is not None else ()
    return capture_state(state, "flows", parent, ancestors, NOW).encode()


def restored(snapshot: Snapshot, *earlier: Snapshot) -> PartitionState:
    """From the contents that the snapshot and earlier ones wrote."""
    contents = {name: content for each in (*earlier, snapshot) for name, content in each.contents.items()}
    return restore_state(replace(snapshot, contents=contents), SPEC, 60_000, Bounds())


def test_a_snapshot_says_what_it_is_of() -> None:
    snapshot = captured(fold(new_state(), 100))
    assert (snapshot.topic, snapshot.topic_id, snapshot.partition, snapshot.offset) == ("flows", "topic-id", 2, 100)
    assert (snapshot.spec_hash, snapshot.bundle, snapshot.threshold) == (SPEC.spec_hash, "bundle", "threshold")
    assert (snapshot.created_ms, snapshot.ancestors) == (NOW, ())


def test_a_whole_snapshot_restores_the_same_bytes() -> None:
    state = fold(new_state(), 100)
    assert restored(captured(state)).encode() == state.encode()


def test_a_snapshot_on_a_parent_writes_only_what_changed() -> None:
    state = fold(new_state(), 300)
    first = captured(state)
    second = captured(fold(state, 20), first)
    assert second.ancestors == (first.ancestor,)
    shared = set(first.chunks) & set(second.chunks)
    assert {chunk.table for chunk in shared} >= {"recent", "lasting"}
    assert not shared & {chunk for chunk in second.chunks if chunk.sha256 in second.contents}
    assert sum(map(len, second.contents.values())) < sum(map(len, first.contents.values()))
    assert restored(second, first).encode() == state.encode()


def test_every_chunk_is_named_by_its_content_and_new_ones_come_with_it() -> None:
    snapshot = captured(fold(new_state(), 100))
    assert {chunk.sha256 for chunk in snapshot.chunks} == snapshot.contents.keys()
    for chunk in snapshot.chunks:
        content = snapshot.contents[chunk.sha256]
        assert (chunk_name(content), len(content)) == (chunk.sha256, chunk.size)
    assert [chunk.table for chunk in snapshot.chunks].count(HEAD) == 1


def test_encoding_later_gives_the_state_as_it_was_captured() -> None:
    """The loop goes on while another thread encodes."""
    state = fold(new_state(), 100)
    wanted = state.encode()
    capture = capture_state(state, "flows", None, (), NOW)
    fold(state, 200)
    assert restored(capture.encode()).encode() == wanted


def test_equal_states_give_equal_snapshots() -> None:
    one, other = fold(new_state(), 100), fold(fold(new_state(), 37), 63)
    assert captured(one).id == captured(other).id


def test_without_its_head_there_is_no_state() -> None:
    snapshot = captured(fold(new_state(), 100))
    [head] = snapshot.chunks_of(HEAD)
    contents = {name: content for name, content in snapshot.contents.items() if name != head.sha256}
    with pytest.raises(ValueError, match="not a partition state"):
        restore_state(replace(snapshot, contents=contents), SPEC, 60_000, Bounds())


def test_tables_that_were_not_read_stay_empty() -> None:
    """The trainer reads the samples alone."""
    snapshot = captured(fold(new_state(), 100))
    wanted = {chunk.sha256 for table in (HEAD, "recent") for chunk in snapshot.chunks_of(table)}
    contents = {name: content for name, content in snapshot.contents.items() if name in wanted}
    state = restore_state(replace(snapshot, contents=contents), SPEC, 60_000, Bounds())
    assert (len(state.recent), len(state.lasting)) == (100, 0)
