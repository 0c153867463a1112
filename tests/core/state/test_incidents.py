"""Incidents as a pure fold: cooldown, updates, closing on the event clock, bounds and state."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.state.incidents import QUIET_MS, Closed, Evidence, Flagged, IncidentChange, Incidents

COOLDOWN = 60_000
T0 = 1_767_225_600_000
MILD = Evidence(1e-4, 10.0, 9.8, 41_200, 12, "denoising", False)
WORST = Evidence(1e-6, 50.0, 9.8, 41_200, 12, "denoising", False)


def flagged(
    offset: int, time: int, entity: str | None = "a", *, clock: int | None = None, evidence: Evidence = MILD
) -> Flagged:
    return Flagged(entity, offset, time + 7, time, time if clock is None else clock, evidence)


def test_the_first_flagged_record_opens_and_the_cooldown_holds_back_until_exactly_its_end() -> None:
    incidents = Incidents(COOLDOWN)
    times = [T0, T0 + 1, T0 + 59_999, T0 + 60_000, T0 + 119_999]
    changes = [incidents.flag(flagged(offset, time)) for offset, time in enumerate(times)]
    assert [(change.publish, change.status) for change in changes] == [
        (True, "open"),
        (False, "update"),
        (False, "update"),
        (True, "update"),
        (False, "update"),  # the cooldown runs from the update
    ]
    assert [change.flagged for change in changes] == [1, 2, 3, 4, 5]
    assert {(change.opened_offset, change.opened_ms) for change in changes} == {(0, T0)}
    assert changes[4].expires_ms == T0 + 119_999 + 15 * 60_000


def test_entities_do_not_share_a_cooldown_and_records_without_one_do() -> None:
    incidents = Incidents(COOLDOWN)
    changes = [incidents.flag(flagged(i, T0, entity)) for i, entity in enumerate(["a", "b", None, "", None])]
    assert [change.publish for change in changes] == [True, True, True, True, False]
    assert changes[4].opened_offset == 2


def test_a_late_record_is_held_back_and_keeps_the_incident_open() -> None:
    incidents = Incidents(COOLDOWN)
    incidents.flag(flagged(0, T0))
    late = incidents.flag(flagged(1, T0 - 3_600_000, clock=T0 + 200_000))
    assert not late.publish
    assert late.expires_ms == T0 + 200_000 + QUIET_MS


def test_a_record_ahead_of_the_bounded_clock_does_not_expire_at_once() -> None:
    incidents = Incidents(COOLDOWN)
    ahead = incidents.flag(flagged(0, T0 + 36_000_000, clock=T0 + 3_600_000))
    assert ahead.expires_ms == T0 + 36_000_000 + QUIET_MS
    assert incidents.advance(T0 + 7_200_000) == []


def test_an_incident_closes_when_the_clock_reaches_its_expiry_with_its_worst_record() -> None:
    incidents = Incidents(COOLDOWN)
    incidents.flag(flagged(5, T0))
    incidents.flag(flagged(6, T0 + 1_000, evidence=WORST))
    incidents.flag(flagged(7, T0 + 2_000))
    assert incidents.advance(T0 + 2_000 + QUIET_MS - 1) == []
    [closed] = incidents.advance(T0 + 2_000 + QUIET_MS)
    assert closed.entity == "a"
    assert (closed.incident.opened_offset, closed.incident.opened_timestamp_ms) == (5, T0 + 7)
    assert (closed.incident.expires_ms, closed.incident.flagged) == (T0 + 2_000 + QUIET_MS, 3)
    assert closed.incident.peak == WORST
    assert len(incidents) == 0
    assert incidents.flag(flagged(8, T0 + 10_000_000)).status == "open"


def test_of_floored_p_values_the_larger_error_is_the_peak_and_of_equals_the_first() -> None:
    incidents = Incidents(COOLDOWN)
    for offset, (error, version) in enumerate([(50.0, 1), (80.0, 2), (80.0, 3), (10.0, 4)]):
        incidents.flag(flagged(offset, T0, evidence=WORST._replace(error=error, version=version)))
    [closed] = incidents.advance(T0 + QUIET_MS)
    assert closed.incident.peak == WORST._replace(error=80.0, version=2)


def test_a_cooldown_longer_than_the_quiet_period_keeps_the_incident_open_as_long() -> None:
    assert Incidents(2 * QUIET_MS).flag(flagged(0, T0)).expires_ms == T0 + 2 * QUIET_MS


def test_without_a_cooldown_every_flagged_record_is_published_in_one_incident() -> None:
    incidents = Incidents(0)
    assert [incidents.flag(flagged(i, T0)).publish for i in range(3)] == [True, True, True]
    assert len(incidents) == 1


def test_several_close_in_order_of_expiry_then_entity() -> None:
    incidents = Incidents(COOLDOWN)
    for offset, (entity, after) in enumerate([("c", 0), ("b", 5), (None, 5), ("a", 5), ("z", 1), ("c", 9)]):
        incidents.flag(flagged(offset, T0 + after, entity))
    closed = incidents.advance(T0 + QUIET_MS + 1_000)
    assert [c.entity for c in closed] == ["z", None, "a", "b", "c"]


def test_beyond_its_capacity_the_entity_flagged_longest_ago_is_forgotten() -> None:
    incidents = Incidents(COOLDOWN, capacity=2)
    changes = [incidents.flag(flagged(i, T0 + i, entity)) for i, entity in enumerate("abac")]
    assert [change.evicted for change in changes] == [False, False, False, True]
    assert incidents.flag(flagged(4, T0 + 4, "a")).status == "update"
    assert incidents.flag(flagged(5, T0 + 5, "b")).status == "open"  # b made room for c
    assert [c.entity for c in incidents.advance(T0 + 2 * QUIET_MS)] == ["a", "b"]  # c made room for b


def test_the_queue_of_expiries_is_bounded_under_churn_and_each_incident_closes_once() -> None:
    incidents = Incidents(COOLDOWN, capacity=10)
    for offset in range(5_000):
        incidents.flag(flagged(offset, T0, str(offset % 40)))
        assert len(incidents._due) <= 21
    closed = incidents.advance(T0 + QUIET_MS)
    assert sorted(c.incident.opened_offset for c in closed) == list(range(4_990, 5_000))


@pytest.mark.parametrize("plain", [[["a", 1]], [["a", [*range(7)], 3]], [3], [["a", [0] * 7, [1.0]]], 7], ids=repr)
def test_a_malformed_segment_is_refused(plain: object) -> None:
    with pytest.raises(ValueError, match="not incidents"):
        Incidents(COOLDOWN).load([msgspec.msgpack.encode(plain)], 0, None)


# A log of (entity, step of the event time, flagged, p-value exponent); the clock is the times' running
# maximum.
Row = tuple[str | None, int, bool, int]
rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", None]),
        st.sampled_from([-400_000, -1, 0, 1, 20_000, 59_999, 60_000, 61_000, 500_000, 900_000, 5_000_000]),
        st.booleans(),
        st.integers(3, 6),
    ),
    max_size=80,
)


def fold(
    incidents: Incidents, log: Sequence[tuple[int, int, Row]], cuts: set[int]
) -> tuple[list[Closed | IncidentChange], Incidents]:
    """Fold a log as a worker does: advance the clock to each flagged record, and at the end of a batch to its last one.

    `log` has (offset, clock, row). A batch ends at each cut, where the state is stored and restored: the changes since
    the cut before, on top of the earlier segments.
    """
    out: list[Closed | IncidentChange] = []
    segments: list[bytes] = []
    since = 0
    for position, (offset, clock, (entity, time, is_flagged, exponent)) in enumerate(log):
        if is_flagged:
            out += incidents.advance(clock)
            evidence = MILD._replace(p_value=10.0**-exponent)
            out.append(incidents.flag(flagged(offset, time, entity, clock=clock, evidence=evidence)))
        if position + 1 in cuts or position + 1 == len(log):
            out += incidents.advance(clock)
            segments += [encode() for encode in incidents.capture(since)]
            restored = Incidents(COOLDOWN, capacity=3)
            restored.load(segments, incidents.oldest, clock)
            incidents, since = restored, offset + 1
    return out, incidents


@given(rows, st.sets(st.integers(1, 80)))
def test_batches_and_restores_change_nothing(steps: list[Row], cuts: set[int]) -> None:
    log, time, clock = [], T0, T0
    for offset, (entity, step, is_flagged, exponent) in enumerate(steps):
        time += step
        clock = max(clock, time)
        log.append((offset, clock, (entity, time, is_flagged, exponent)))
    one_by_one, last = fold(Incidents(COOLDOWN, capacity=3), log, set(range(81)))
    in_batches, other = fold(Incidents(COOLDOWN, capacity=3), log, cuts)
    assert in_batches == one_by_one
    assert [encode() for encode in other.capture(0)] == [encode() for encode in last.capture(0)]


@given(rows)
def test_every_published_alert_belongs_to_an_incident_that_closes_once(steps: list[Row]) -> None:
    incidents, time, clock = Incidents(COOLDOWN), T0, T0
    opened: list[int] = []
    counted: dict[int, int] = {}
    closed: list[Closed] = []
    for offset, (entity, step, _, exponent) in enumerate(steps):
        time += step
        clock = max(clock, time)
        closed += incidents.advance(clock)
        change = incidents.flag(
            flagged(offset, time, entity, clock=clock, evidence=MILD._replace(p_value=10.0**-exponent))
        )
        counted[change.opened_offset] = change.flagged
        if change.status == "open":
            assert change.publish
            opened.append(offset)
    closed += incidents.advance(2**60)
    assert sorted(c.incident.opened_offset for c in closed) == opened
    assert {c.incident.opened_offset: c.incident.flagged for c in closed} == counted
    assert sum(counted.values()) == len(steps)
