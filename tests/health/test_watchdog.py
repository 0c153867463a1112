"""The watchdog, on a source and a clock that the test controls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from worker.core.state.commit_metadata import CommitMetadata
from worker.core.state.partition_state import PartitionState
from worker.health.watchdog import QUERIES_AT_ONCE, QUERY_AFTER_S, STALL_S, Watchdog
from worker.partitions.assigned import Assignment, Phase, Placed
from worker.ports.log import Change, LogUnavailable, Source, TopicPartition
from worker.telemetry import Telemetry

ZERO, ONE = TopicPartition("flows", 0), TopicPartition("flows", 1)
LATEST_S = STALL_S + 2 * QUERY_AFTER_S + 1  # from the beginning of a stall until the watchdog acts
LONG = int(3 * LATEST_S)


class FakeSource:
    """A source whose partitions end at `ends`; `positions` are those of the client."""

    def __init__(self, *sources: TopicPartition) -> None:
        self.ends = dict.fromkeys(sources, 100)
        self.positions: dict[TopicPartition, int] = {}
        self.queried: list[TopicPartition] = []
        self.held: list[TopicPartition] = []
        self.answers = True
        self._changes = [Change(source, gained=True) for source in sources]

    def changes(self) -> list[Change]:
        changes, self._changes = self._changes, []
        return changes

    def position(self, source: TopicPartition) -> int | None:
        return self.positions.get(source)

    def bounds(self, source: TopicPartition, seconds: float = 5.0) -> tuple[int, int]:
        assert seconds <= 1.0
        self.queried.append(source)
        if not self.answers:
            raise LogUnavailable("timed out")
        return 0, self.ends[source]

    def hold(self, source: TopicPartition) -> None:
        self.held.append(source)

    def release(self, source: TopicPartition) -> None:
        self._changes.append(Change(source, gained=False))


class Bench:
    def __init__(self, *sources: TopicPartition) -> None:
        self.source = FakeSource(*sources)
        self.assignment = Assignment(cast(Source, self.source))
        self.assignment.apply_changes(0.0)
        self.telemetry = Telemetry("flows")
        self.watchdog = Watchdog(cast(Source, self.source), self.assignment, self.telemetry)
        self.now = 0.0
        for source in sources:
            self.place(source, 0)

    def place(self, source: TopicPartition, offset: int, phase: Phase = Phase.LIVE) -> None:
        assigned = self.assignment.get(source)
        assert assigned is not None
        if phase is Phase.RECOVERING:
            assigned.placed = None
            return
        state = cast(PartitionState, SimpleNamespace(next_offset=offset))
        assigned.placed = Placed(phase, "id", 0, state, CommitMetadata("id", "spec", 1))

    def phase(self, source: TopicPartition) -> Phase:
        assigned = self.assignment.get(source)
        assert assigned is not None
        return assigned.phase

    def pass_seconds(self, count: float, *, turn: float = 1.0) -> None:
        """Let time pass, with one call of the watchdog per turn."""
        until = self.now + count
        while self.now < until:
            self.now += turn
            self.watchdog.watch(self.now)


@pytest.fixture
def bench() -> Bench:
    return Bench(ZERO, ONE)


def test_a_partition_that_stands_short_of_its_end_is_recovered_and_then_fails_liveness(bench: Bench) -> None:
    bench.source.ends[ONE] = 0
    bench.pass_seconds(STALL_S)
    assert bench.phase(ZERO) is Phase.LIVE
    bench.pass_seconds(LATEST_S - STALL_S)
    assert bench.phase(ZERO) is Phase.RECOVERING
    assert bench.source.held == [ZERO]
    assert (bench.telemetry.repositioned, bench.telemetry.stalled) == (1, {})
    bench.place(ZERO, 0)
    bench.pass_seconds(STALL_S)
    assert bench.telemetry.stalled == {}
    bench.pass_seconds(LATEST_S - STALL_S)
    assert bench.telemetry.stalled == {ZERO: 0}
    assert (bench.telemetry.repositioned, bench.phase(ZERO)) == (1, Phase.LIVE)
    bench.place(ZERO, 7)  # it goes on after all
    bench.pass_seconds(2)
    assert bench.telemetry.stalled == {}
    bench.pass_seconds(LATEST_S)
    assert bench.telemetry.repositioned == 2, "a stall at another offset is a new one"


def test_a_partition_at_its_end_is_idle(bench: Bench) -> None:
    bench.place(ZERO, 100)
    bench.place(ONE, 97)
    bench.source.positions[ONE] = 100  # transaction markers follow the last record
    bench.pass_seconds(LONG)
    assert (bench.telemetry.repositioned, bench.source.held) == (0, [])
    assert bench.source.queried.count(ZERO) > 10


def test_a_record_after_a_long_silence_is_no_stall(bench: Bench) -> None:
    for source in (ZERO, ONE):
        bench.place(source, 100)
    bench.pass_seconds(LONG)
    bench.source.ends[ZERO] = 101
    bench.pass_seconds(STALL_S)
    assert bench.source.held == []


def test_kafka_is_not_queried_about_partitions_that_move(bench: Bench) -> None:
    for offset in range(LONG):
        bench.place(ZERO, offset)
        bench.place(ONE, 0)
        bench.source.positions[ONE] = offset  # the client passes aborted records
        bench.pass_seconds(1)
    assert (bench.source.queried, bench.source.held) == ([], [])


def test_catch_up_that_begins_below_a_stall_is_not_taken_for_the_same_stall(bench: Bench) -> None:
    bench.source.ends[ONE] = 0
    bench.place(ZERO, 50)
    bench.pass_seconds(LATEST_S)
    assert bench.source.held == [ZERO]
    for offset in range(10, 50):
        bench.place(ZERO, offset, Phase.CATCHING_UP)
        bench.pass_seconds(5)
    assert bench.telemetry.stalled == {}
    bench.place(ZERO, 51)
    bench.pass_seconds(1)
    bench.place(ZERO, 52)
    bench.pass_seconds(LATEST_S)
    assert (bench.telemetry.repositioned, bench.telemetry.stalled) == (2, {})


def test_a_stall_that_is_reached_again_is_the_same_stall(bench: Bench) -> None:
    bench.source.ends[ONE] = 0
    bench.place(ZERO, 50)
    bench.pass_seconds(LATEST_S)
    for offset in range(10, 51):
        bench.place(ZERO, offset, Phase.CATCHING_UP)
        bench.pass_seconds(1)
    bench.pass_seconds(LATEST_S)
    assert (bench.telemetry.repositioned, bench.telemetry.stalled) == (1, {ZERO: 50})


@pytest.mark.parametrize("phase", [Phase.RECOVERING, Phase.COLD])
def test_waiting_for_a_known_cause_is_no_stall(bench: Bench, phase: Phase) -> None:
    for source in (ZERO, ONE):
        bench.place(source, 0, phase)
    bench.pass_seconds(LONG)
    assert (bench.source.queried, bench.source.held, bench.telemetry.stalled) == ([], [], {})


def test_waiting_in_between_starts_the_clock_anew(bench: Bench) -> None:
    bench.source.ends[ONE] = 0
    bench.pass_seconds(STALL_S)
    bench.place(ZERO, 0, Phase.RECOVERING)
    bench.pass_seconds(1)
    bench.place(ZERO, 0)
    bench.pass_seconds(STALL_S)
    assert bench.source.held == []


def test_while_kafka_does_not_answer_nothing_is_stalled_and_queries_are_rare(bench: Bench) -> None:
    bench.source.answers = False
    bench.pass_seconds(LONG)
    assert bench.source.held == []
    assert len(bench.source.queried) <= LONG / QUERY_AFTER_S
    assert bench.telemetry.unanswered == "timed out"
    bench.source.answers = True
    bench.pass_seconds(STALL_S)
    assert (bench.telemetry.unanswered, bench.source.held) == ("", [])


def test_an_outage_does_not_count_towards_a_stall(bench: Bench) -> None:
    bench.source.ends[ONE] = 0
    bench.pass_seconds(STALL_S - QUERY_AFTER_S)
    bench.source.answers = False
    bench.pass_seconds(STALL_S)
    bench.source.answers = True
    bench.pass_seconds(STALL_S)
    assert bench.source.held == []
    bench.pass_seconds(LATEST_S - STALL_S)
    assert bench.source.held == [ZERO]


def test_a_partition_that_moves_again_shows_that_kafka_answers(bench: Bench) -> None:
    bench.source.answers = False
    bench.pass_seconds(4 * QUERY_AFTER_S)
    for source in (ZERO, ONE):
        bench.place(source, 1)
    bench.pass_seconds(1)
    assert bench.telemetry.unanswered == ""


def test_a_long_turn_does_not_count_towards_a_stall(bench: Bench) -> None:
    bench.pass_seconds(2 * QUERY_AFTER_S)
    bench.pass_seconds(5 * 30, turn=30.0)  # each of these turns waits for the end of a transaction
    assert bench.source.held == []


def test_a_released_partition_is_forgotten(bench: Bench) -> None:
    bench.pass_seconds(2 * LATEST_S)
    for source in (ZERO, ONE):
        bench.place(source, 0)
    bench.pass_seconds(LATEST_S)
    assert set(bench.telemetry.stalled) == {ZERO, ONE}
    bench.source.release(ONE)
    bench.assignment.apply_changes(bench.now)
    bench.pass_seconds(1)
    assert set(bench.telemetry.stalled) == {ZERO}


def test_many_idle_partitions_take_turns() -> None:
    sources = [TopicPartition("flows", i) for i in range(200)]
    bench = Bench(*sources)
    bench.source.ends = dict.fromkeys(sources, 0)
    bench.pass_seconds(QUERY_AFTER_S + 1)
    assert len(bench.source.queried) <= 2 * QUERIES_AT_ONCE
    bench.pass_seconds(200 / QUERIES_AT_ONCE)
    assert set(bench.source.queried) == set(sources)
