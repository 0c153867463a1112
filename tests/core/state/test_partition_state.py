"""The state of a partition is a fold over its log: neither batches nor a restore in between change it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.examples import SPEC, rows, scored_rows
from worker.core.model.histogram import BUCKETS, RING_HOURS, HistogramRing
from worker.core.model.serving_model import Versions
from worker.core.state.incidents import Evidence, Flagged
from worker.core.state.partition_state import RECENT_LEAST, PartitionState, ScoredRows

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
        batch = scored_rows(COLUMNS.take(part), OFFSETS[part])
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
    expected = np.bincount(scored_rows(COLUMNS, OFFSETS).p_buckets, minlength=BUCKETS)
    assert (state.ring.total() == expected).all()
    assert (HistogramRing.merge([state.ring, state.ring]).total() == 2 * expected).all()
    for hour in range(200, 200 + RING_HOURS):
        state.fold(scored_rows(COLUMNS.take(slice(0, 10)), np.arange(10) + hour * 3_600), ())
    assert state.ring.total().sum() == 10 * RING_HOURS


def test_the_recent_sample_is_paced_by_the_versions() -> None:
    state = folded([])
    state.next_offset = 5_000
    state.adopt(Versions("bundle", "another threshold"))
    assert state.recent.half_life == RECENT_LEAST
    state.adopt(Versions("second bundle", "threshold"))
    assert state.recent.half_life == 3 * 4_000
    assert PartitionState.decode(state.encode(), SPEC, 60_000).recent.half_life == 3 * 4_000


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
