"""The step is a fold: however a batch is cut, state, incidents and scores are the same to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.broker import TOPIC_ID
from tests.model.stream import SETTINGS, START_MS, Events, serving_model
from worker.core.events.decode import Decoded, Limits, decoder_for
from worker.core.state.incidents import Closed, IncidentChange
from worker.core.state.partition_state import PartitionState
from worker.core.step import Step, featurize, score, step

FIRST = 1_000
RECORDS = [record for record in Events(3).many(400) if record is not None]
N = len(RECORDS)
OFFSETS = FIRST + np.cumsum(1 + np.arange(N) % 11 // 10)  # with gaps, as transaction markers leave them
TIMESTAMPS = np.array([record.timestamp for record in RECORDS])
MODEL = serving_model(1)


def decoded(start: int, stop: int) -> Decoded:
    values = [record.value for record in RECORDS[start:stop]]
    return decoder_for("json", SETTINGS.spec, Limits()).decode(values)


def new_state() -> PartitionState:
    state = PartitionState(SETTINGS.spec, TOPIC_ID, 0, FIRST, 60_000, SETTINGS.bounds)
    state.adopt(MODEL.versions)
    return state


def stepped(cuts: Sequence[int]) -> tuple[PartitionState, list[Step]]:
    """All records, in one step for each stretch between two cuts."""
    state, steps = new_state(), []
    for start, stop in zip([0, *cuts], [*cuts, N], strict=True):
        part = slice(start, stop)
        steps.append(step(state, MODEL, decoded(start, stop), OFFSETS[part], TIMESTAMPS[part], lambda _: b"key"))
    return state, steps


def bits(steps: Sequence[Step]) -> list[bytes]:
    """Errors, bottleneck codes, p-value buckets and verdicts of all rows, as bytes."""
    rows = [[each.scores.errors, each.scores.code, each.rows.p_buckets, each.rows.flagged] for each in steps]
    return [np.concatenate(arrays).tobytes() for arrays in zip(*rows, strict=True)]


WHOLE, WHOLE_STEPS = stepped([])
CHANGES = WHOLE_STEPS[0].changes


def test_the_batch_has_everything_that_a_cut_could_separate() -> None:
    [whole] = WHOLE_STEPS
    batch = decoded(0, N)
    assert batch.rejects and batch.tombstones
    assert whole.featurized.late and whole.featurized.evicted
    assert any(isinstance(change, Closed) for change in CHANGES)
    assert {change.publish for change in CHANGES if isinstance(change, IncidentChange)} == {True, False}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, N - 1), max_size=12, unique=True).map(sorted))
def test_any_cuts_give_the_same_state_changes_and_scores(cuts: list[int]) -> None:
    state, steps = stepped(cuts)
    assert state.encode() == WHOLE.encode()
    assert bits(steps) == bits(WHOLE_STEPS)
    assert [change for each in steps for change in each.changes] == CHANGES
    assert sum(each.featurized.late for each in steps) == WHOLE_STEPS[0].featurized.late
    assert sum(each.featurized.evicted for each in steps) == WHOLE_STEPS[0].featurized.evicted


def test_record_by_record_is_the_same_too() -> None:
    state, steps = stepped(range(1, N))
    assert state.encode() == WHOLE.encode()
    assert bits(steps) == bits(WHOLE_STEPS)


def test_a_restore_between_two_steps_leaves_no_trace() -> None:
    state = new_state()
    for start, stop in ((0, 150), (150, N)):
        part = slice(start, stop)
        step(state, MODEL, decoded(start, stop), OFFSETS[part], TIMESTAMPS[part], lambda _: b"key")
        state = PartitionState.decode(state.encode(), SETTINGS.spec, 60_000, SETTINGS.bounds)
    assert state.encode() == WHOLE.encode()


def test_a_step_ends_after_the_last_record_decoded_or_not() -> None:
    state = new_state()
    values: list[bytes | None] = [b"not JSON", None]
    batch = decoder_for("json", SETTINGS.spec, Limits()).decode(values)
    taken = step(state, MODEL, batch, np.array([1_007, 1_009]), np.array([START_MS, START_MS]), lambda _: None)
    assert state.next_offset == 1_010
    assert (len(taken.rows.offsets), taken.changes) == (0, [])
    assert state.clock_ms is None


def test_scoring_touches_no_state() -> None:
    state = new_state()
    featurized = featurize(state, decoded(0, N), OFFSETS, TIMESTAMPS, lambda _: b"key")
    before = state.encode()
    _, scores, rows = score(MODEL, featurized)
    score(MODEL, featurized)
    assert state.encode() == before
    assert scores.errors.tobytes() == WHOLE_STEPS[0].scores.errors.tobytes()
    assert rows.offsets.tolist() == OFFSETS[decoded(0, N).index].tolist()


def test_flagged_records_carry_the_evidence_of_their_own_row() -> None:
    [whole] = WHOLE_STEPS
    flagged = [change.record for change in CHANGES if isinstance(change, IncidentChange)]
    rows = np.flatnonzero(whole.rows.flagged)
    assert [record.offset for record in flagged] == whole.rows.offsets[rows].tolist()
    assert [record.evidence.error for record in flagged] == whole.rows.errors[rows].tolist()
    p_values = MODEL.threshold.p_values(whole.rows.errors[rows])
    assert [record.evidence.p_value for record in flagged] == p_values.tolist()
    assert [record.time_ms for record in flagged] == whole.rows.times.times[rows].tolist()
    assert {(record.evidence.version, record.evidence.backfill) for record in flagged} == {(1, False)}


@pytest.mark.parametrize(
    ("timestamp", "backfill"), [(-1, False), (0, True), (MODEL.created_ms - 1, True), (MODEL.created_ms, False)]
)
def test_a_record_older_than_the_model_is_marked_as_backfill(timestamp: int, backfill: bool) -> None:
    state = PartitionState(SETTINGS.spec, TOPIC_ID, 0, FIRST, 60_000, SETTINGS.bounds)
    timestamps = np.full(N, timestamp)
    taken = step(state, MODEL, decoded(0, N), OFFSETS, timestamps, lambda _: b"key")
    evidence = {change.record.evidence.backfill for change in taken.changes if isinstance(change, IncidentChange)}
    assert evidence == {backfill}


def test_a_record_without_an_entity_in_its_event_has_its_key() -> None:
    index = next(i for i, change in enumerate(CHANGES) if isinstance(change, IncidentChange))
    change = CHANGES[index]
    assert isinstance(change, IncidentChange)
    place = int(np.searchsorted(OFFSETS, change.record.offset))
    value = RECORDS[place].value
    assert value is not None
    nameless = value.replace(b'"host"', b'"hosts"')
    batch = decoder_for("json", SETTINGS.spec, Limits()).decode([nameless])
    row = slice(place, place + 1)
    taken = step(new_state(), MODEL, batch, OFFSETS[row], TIMESTAMPS[row], lambda i: b"key %d" % i)
    entities = [change.record.entity for change in taken.changes if isinstance(change, IncidentChange)]
    assert entities == ["key 0"]
