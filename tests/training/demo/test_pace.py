"""The pacing of the demo's stream: it waits for the trainer, but not for ever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.demo.pace import EVENTS_PER_VERSION, FIRST_MODEL_EVENTS, PATIENCE_S, Pace
from training.demo.versions import Versions


def test_before_the_first_model_only_its_events_are_sent_however_long_it_takes() -> None:
    pace = Pace()
    assert pace.may_send(FIRST_MODEL_EVENTS - 1, 0.0)
    assert not pace.may_send(FIRST_MODEL_EVENTS, 1.0)
    assert not pace.may_send(FIRST_MODEL_EVENTS, 1.0 + 100 * PATIENCE_S)


def test_a_decision_frees_the_stream_and_its_wait_is_counted() -> None:
    pace = Pace(decided=10_000)
    full = 10_000 + EVENTS_PER_VERSION
    assert pace.may_send(full - 1, 0.0)
    assert not pace.may_send(full, 1.0)
    assert pace.waiting_for(4.0) == 3.0
    pace.decide(full - 100)
    assert pace.may_send(full, 5.0)
    assert pace.waiting_for(6.0) == 0.0
    assert (pace.waited, pace.given_up) == (4.0, 0)
    assert not pace.may_send(full - 100 + EVENTS_PER_VERSION, 7.0)


def test_an_earlier_decision_than_the_last_one_takes_nothing_back() -> None:
    pace = Pace(decided=10_000)
    pace.decide(9_000)
    assert pace.may_send(10_000 + EVENTS_PER_VERSION - 1, 0.0)


def test_after_its_patience_it_goes_on_for_as_many_events_again() -> None:
    pace = Pace(decided=0)
    full = EVENTS_PER_VERSION
    assert not pace.may_send(full, 0.0)
    assert not pace.may_send(full, PATIENCE_S - 0.1)
    assert pace.may_send(full, PATIENCE_S)
    assert pace.may_send(full + 1, PATIENCE_S)
    assert (pace.waited, pace.given_up) == (PATIENCE_S, 1)
    assert not pace.may_send(2 * full, PATIENCE_S + 1.0)
    assert not pace.may_send(2 * full, 2 * PATIENCE_S)


@given(
    decided_after=st.lists(st.integers(0, 2 * EVENTS_PER_VERSION), max_size=8),
    tick=st.floats(0.001, PATIENCE_S / 4),
)
def test_no_version_is_further_behind_than_allowed_unless_patience_ran_out(
    decided_after: list[int], tick: float
) -> None:
    pace, sent, now = Pace(decided=0), 0, 0.0
    for events in decided_after:
        base = pace.decided or 0
        for _ in range(events):
            if pace.may_send(sent, now):
                sent += 1
            else:
                break
        assert sent - base <= EVENTS_PER_VERSION
        now += tick
        pace.decide(sent)
    assert pace.given_up == 0


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {"event": name, **fields}


def test_promotions_and_refusals_are_decisions_but_a_moved_threshold_and_a_switch_are_none() -> None:
    versions = Versions(Pace())
    versions.take(event("cold_start", version=1), sent=2_048, scored=0)
    assert versions.pace.decided == 2_048
    versions.take(event("threshold_moved", version=1), sent=4_000, scored=3_900)
    versions.take(event("switched", version=1, partition=0, offset=3_900), sent=4_000, scored=3_900)
    assert versions.pace.decided == 2_048
    versions.take(event("fine_tune", version=2), sent=5_000, scored=4_900)
    assert versions.pace.decided == 4_900
    versions.take(event("challenger_rejected", version=3, reasons=["worse", "odd"]), sent=8_000, scored=7_900)
    assert versions.pace.decided == 7_900
    assert (versions.fine_tunes, versions.refused) == (1, ["worse; odd"])


def test_a_full_stream_needs_no_record_to_be_freed_by_a_promotion() -> None:
    """The worker switches at the next record: a stream that waited for the switch would wait for itself."""
    versions = Versions(Pace(decided=0))
    assert not versions.pace.may_send(EVENTS_PER_VERSION, 0.0)
    versions.take(event("fine_tune", version=2), sent=EVENTS_PER_VERSION, scored=EVENTS_PER_VERSION)
    assert versions.pace.may_send(EVENTS_PER_VERSION, 1.0)
    assert versions.pace.given_up == 0


@pytest.mark.parametrize("waited", [0.0, 3.5])
def test_a_stream_that_never_was_full_never_waited(waited: float) -> None:
    pace = Pace(decided=0)
    assert pace.may_send(0, waited)
    assert pace.waited == 0.0
