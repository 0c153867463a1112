"""The reservoir: the same rows as a brute force over the whole log, whatever the batches were."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.examples import SPEC, rows
from worker.core.events.columns import to_bytes
from worker.core.state.reservoir import FLAGGED, TRAINABLE, Reservoir, draw_uniform, held_out, partition_seed

N = 600
COLUMNS = rows(N)
OFFSETS = np.arange(N)
MARKS = ((OFFSETS % 7 == 0) * FLAGGED | (OFFSETS % 3 != 0) * TRAINABLE).astype(np.uint8)
DRAWS = draw_uniform(partition_seed("t", 0), OFFSETS)


def offer(sample: Reservoir, start: int, stop: int, among: npt.NDArray[np.bool_] | None = None) -> None:
    """Offer the rows from `start` to `stop`; their event times are their offsets in seconds."""
    part = slice(start, stop)
    chosen = among[part] if among is not None else None
    sample.offer(DRAWS[part], OFFSETS[part], OFFSETS[part] * 1_000, MARKS[part], COLUMNS.take(part), chosen)


def encoded(sample: Reservoir) -> list[bytes]:
    return [encode() for encode in sample.capture(0)]


def growth(served: int, half_life: float) -> float:
    return served / half_life if served <= half_life else 1.0 + math.log(served / half_life)


@pytest.mark.parametrize("half_life", [None, 100.0])
def test_a_reservoir_keeps_the_highest_priorities(half_life: float | None) -> None:
    """Compared with a brute force over all rows, whose key is log(weight) - log(exponential)."""
    n, capacity = 5_000, 300
    offsets = np.arange(n)
    draws = draw_uniform(partition_seed("t", 0), offsets)
    sample = Reservoir(SPEC, capacity, half_life)
    columns = rows(n)
    for start in range(0, n, 50):
        part = slice(start, start + 50)
        marks = np.zeros(len(offsets[part]), np.uint8)
        sample.offer(draws[part], offsets[part], offsets[part], marks, columns.take(part))
        sample.settle()  # with the highest possible floor, no row above it may be left out
    assert len(sample) == capacity
    weight_log = np.log(2) * np.array([growth(i, half_life) if half_life else 0.0 for i in range(n)])
    best = np.sort(np.argsort(-(weight_log - np.log(-np.log(draws))))[:capacity])
    assert sample.offsets.tolist() == best.tolist()
    if half_life is None:
        assert 0.4 < sample.offsets.mean() / n < 0.6
    else:
        assert sample.offsets.mean() > 0.55 * n


def test_a_reservoir_that_changes_pace_keeps_its_order() -> None:
    """Compared with a brute force.

    The log of a row's weight grows by ln 2 in the first half-life of a version, and from then on by ln 2 times the
    logarithm of the number of half-lives that the version has served.
    """
    offsets, capacity = np.arange(2_000), 200
    draws = draw_uniform(partition_seed("t", 3), offsets)
    sample, columns = Reservoir(SPEC, capacity, 50.0), rows(2_000)
    for start, half_life in ((0, 50.0), (1_000, 400.0)):
        sample.pace(half_life, start)
        part = slice(start, start + 1_000)
        sample.offer(draws[part], offsets[part], offsets[part], np.zeros(1_000, np.uint8), columns.take(part))
    age = np.log(2) * np.array(
        [growth(i, 50.0) if i < 1_000 else growth(1_000, 50.0) + growth(i - 1_000, 400.0) for i in range(2_000)]
    )
    order = np.argsort(-(age - np.log(-np.log(draws))))
    assert len(sample) == capacity
    assert sample.offsets.tolist() == np.sort(order[:capacity]).tolist()
    assert sample.offsets[sample.best(20)].tolist() == np.sort(order[:20]).tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, N - 1), max_size=10, unique=True).map(sorted), st.sampled_from([None, 50.0]))
def test_batches_leave_no_trace(cuts: list[int], half_life: float | None) -> None:
    whole, in_batches = Reservoir(SPEC, 40, half_life), Reservoir(SPEC, 40, half_life)
    offer(whole, 0, N)
    for start, stop in zip([0, *cuts], [*cuts, N], strict=True):
        offer(in_batches, start, stop)
    assert encoded(in_batches) == encoded(whole)


def test_a_row_keeps_its_own_values() -> None:
    sample = Reservoir(SPEC, 40, None)
    offer(sample, 0, N)
    assert len(sample) == 40
    assert sample.times.tolist() == (sample.offsets * 1_000).tolist()
    assert sample.marks.tolist() == MARKS[sample.offsets].tolist()
    assert to_bytes(sample.columns, SPEC) == to_bytes(COLUMNS.take(sample.offsets), SPEC)


def test_rows_may_be_left_out() -> None:
    """The lasting sample takes only rows that may be trained on; the others have no part in the draw."""
    among = OFFSETS % 3 != 0
    sample, alone = Reservoir(SPEC, 40, None), Reservoir(SPEC, 40, None)
    for start in range(0, N, 100):
        offer(sample, start, start + 100, among)
    sample.settle()
    best = np.argsort(-DRAWS[among], kind="stable")[:40]
    assert sample.offsets.tolist() == np.sort(OFFSETS[among][best]).tolist()
    offer(alone, 0, N, np.zeros(N, np.bool_))
    assert len(alone) == 0


@pytest.mark.parametrize("half_life", [None, 50.0])
def test_a_restored_sample_goes_on_as_if_nothing_had_happened(half_life: float | None) -> None:
    sample = Reservoir(SPEC, 40, half_life)
    offer(sample, 0, 300)
    restored = Reservoir(SPEC, 40, None)
    restored.load(encoded(sample), sample.paced)
    for each in (sample, restored):
        each.pace(80.0, 300)
        offer(each, 300, N)
    assert encoded(restored) == encoded(sample)
    assert restored.paced == sample.paced


def test_changed_rows_are_those_from_an_offset_on() -> None:
    sample = Reservoir(SPEC, 40, None)
    offer(sample, 0, N)
    assert sample.changed(0) == 40
    assert sample.changed(N) == 0
    assert sample.changed(int(sample.offsets[10])) == 30
    tail = Reservoir(SPEC, 40, None)
    tail.load([encode() for encode in sample.capture(int(sample.offsets[10]))], sample.paced)
    assert tail.offsets.tolist() == sample.offsets[10:].tolist()
    assert sample.capture(N) == []


@pytest.mark.parametrize("damage", ["not msgpack", "unequal columns"])
def test_a_damaged_segment_is_refused(damage: str) -> None:
    sample = Reservoir(SPEC, 40, None)
    offer(sample, 0, N)
    [raw] = encoded(sample)
    if damage == "unequal columns":
        priority, *rest = msgspec.msgpack.decode(raw)
        raw = msgspec.msgpack.encode([priority[8:], *rest])
    else:
        raw = raw[:-1]
    with pytest.raises(ValueError, match="a sample"):
        Reservoir(SPEC, 40, None).load([raw], sample.paced)


def test_a_quarter_of_the_stream_is_held_out_by_whole_blocks() -> None:
    held = held_out(partition_seed("t", 0), np.arange(64 * 20_000)).reshape(-1, 64)
    assert (held.all(1) | ~held.any(1)).all()
    assert held[:, 0].mean() == pytest.approx(0.25, abs=0.01)


def test_draws_are_uniform_and_never_the_ends() -> None:
    draws = draw_uniform(partition_seed("t", 1), np.arange(200_000))
    assert (draws > 0).all() and (draws < 1).all()
    assert np.quantile(draws, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.005)
