"""The watchdog over a source that is told what to answer, on a clock that is told the time."""

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
LATEST_S = STALL_S + 2 * QUERY_AFTER_S + 1  # from a stall's beginning until the watchdog acts
LONG = int(3 * LATEST_S)


class Told:
    """A source whose partitions end where `ends` says; `positions` are the client's."""

    def __init__(self, *sources: TopicPartition) -> None:
        self.ends = dict.fromkeys(sources, 100)
        self.positions: dict[TopicPartition, int] = {}
        self.asked: list[TopicPartition] = []
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
        self.asked.append(source)
        if not self.answers:
            raise LogUnavailable("timed out")
        return 0, self.ends[source]

    def hold(self, source: TopicPartition) -> None:
        self.held.append(source)


class Bench:
    def __init__(self, *sources: TopicPartition) -> None:
        self.source = Told(*sources)
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

    def seconds(self, count: float, *, turn: float = 1.0) -> None:
        until = self.now + count
        while self.now < until:
            self.now += turn
            self.watchdog.watch(self.now)


@pytest.fixture
def bench() -> Bench:
    return Bench(ZERO, ONE)


def test_a_partition_that_stands_short_of_its_end_is_recovered_and_then_fails_liveness(bench: Bench) -> None:
    bench.source.ends[ONE] = 0
    bench.seconds(STALL_S)
    assert bench.phase(ZERO) is Phase.LIVE
    bench.seconds(LATEST_S - STALL_S)
    assert bench.phase(ZERO) is Phase.RECOVERING
    assert bench.source.held == [ZERO]
    assert (bench.telemetry.repositioned, bench.telemetry.stalled) == (1, {})
    bench.place(ZERO, 0)
    bench.seconds(STALL_S)
    assert bench.telemetry.stalled == {}
    bench.seconds(LATEST_S - STALL_S)
    assert bench.telemetry.stalled == {ZERO: 0}
    assert (bench.telemetry.repositioned, bench.phase(ZERO)) == (1, Phase.LIVE)
    bench.place(ZERO, 7)  # it goes on after all
    bench.seconds(2)
    assert bench.telemetry.stalled == {}
    bench.seconds(LATEST_S)
    assert bench.telemetry.repositioned == 2, "a stall elsewhere is a new one"


def test_a_partition_at_its_end_is_idle(bench: Bench) -> None:
    bench.place(ZERO, 100)
    bench.place(ONE, 97)
    bench.source.positions[ONE] = 100  # behind the last record there are markers of transactions
    bench.seconds(LONG)
    assert (bench.telemetry.repositioned, bench.source.held) == (0, [])
    assert bench.source.asked.count(ZERO) > 10


def test_a_record_after_a_long_silence_is_no_stall(bench: Bench) -> None:
    for source in (ZERO, ONE):
        bench.place(source, 100)
    bench.seconds(LONG)
    bench.source.ends[ZERO] = 101
    bench.seconds(STALL_S)
    assert bench.source.held == []


def test_what_moves_is_never_asked_about(bench: Bench) -> None:
    for offset in range(LONG):
        bench.place(ZERO, offset)
        bench.place(ONE, 0)
        bench.source.positions[ONE] = offset  # aborted records are passed
        bench.seconds(1)
    assert (bench.source.asked, bench.source.held) == ([], [])


def test_catch_up_that_begins_below_a_stall_is_not_taken_for_the_same_stall(bench: Bench) -> None:
    bench.source.ends[ONE] = 0
    bench.place(ZERO, 50)
    bench.seconds(LATEST_S)
    assert bench.source.held == [ZERO]
    for offset in range(10, 50):
        bench.place(ZERO, offset, Phase.CATCHING_UP)
        bench.seconds(5)
    assert bench.telemetry.stalled == {}
    bench.place(ZERO, 51)
    bench.seconds(1)
    bench.place(ZERO, 52)
    bench.seconds(LATEST_S)
    assert (bench.telemetry.repositioned, bench.telemetry.stalled) == (2, {})


def test_a_stall_that_is_reached_again_is_the_same_stall(bench: Bench) -> None:
    bench.source.ends[ONE] = 0
    bench.place(ZERO, 50)
    bench.seconds(LATEST_S)
    for offset in range(10, 51):
        bench.place(ZERO, offset, Phase.CATCHING_UP)
        bench.seconds(1)
    bench.seconds(LATEST_S)
    assert (bench.telemetry.repositioned, bench.telemetry.stalled) == (1, {ZERO: 50})


@pytest.mark.parametrize("phase", [Phase.RECOVERING, Phase.COLD])
def test_waiting_for_what_is_known_is_no_stall(bench: Bench, phase: Phase) -> None:
    for source in (ZERO, ONE):
        bench.place(source, 0, phase)
    bench.seconds(LONG)
    assert (bench.source.asked, bench.source.held, bench.telemetry.stalled) == ([], [], {})


def test_waiting_in_between_starts_the_clock_anew(bench: Bench) -> None:
    bench.source.ends[ONE] = 0
    bench.seconds(STALL_S)
    bench.place(ZERO, 0, Phase.RECOVERING)
    bench.seconds(1)
    bench.place(ZERO, 0)
    bench.seconds(STALL_S)
    assert bench.source.held == []


def test_while_kafka_does_not_answer_nothing_is_stalled_and_it_is_asked_rarely(bench: Bench) -> None:
    bench.source.answers = False
    bench.seconds(LONG)
    assert bench.source.held == []
    assert len(bench.source.asked) <= LONG / QUERY_AFTER_S
    assert bench.telemetry.unanswered == "timed out"
    bench.source.answers = True
    bench.seconds(STALL_S)
    assert (bench.telemetry.unanswered, bench.source.held) == ("", [])


def test_an_outage_does_not_count_towards_a_stall(bench: Bench) -> None:
    bench.source.ends[ONE] = 0
    bench.seconds(STALL_S - QUERY_AFTER_S)
    bench.source.answers = False
    bench.seconds(STALL_S)
    bench.source.answers = True
    bench.seconds(STALL_S)
    assert bench.source.held == []
    bench.seconds(LATEST_S - STALL_S)
    assert bench.source.held == [ZERO]


def test_what_moves_again_answers_for_kafka(bench: Bench) -> None:
    bench.source.answers = False
    bench.seconds(4 * QUERY_AFTER_S)
    for source in (ZERO, ONE):
        bench.place(source, 1)
    bench.seconds(1)
    assert bench.telemetry.unanswered == ""


def test_a_turn_that_took_long_is_not_held_against_a_partition(bench: Bench) -> None:
    bench.seconds(2 * QUERY_AFTER_S)
    bench.seconds(5 * 30, turn=30.0)  # each of them waits for a transaction's end
    assert bench.source.held == []


def test_a_released_partition_is_forgotten(bench: Bench) -> None:
    bench.seconds(2 * LATEST_S)
    for source in (ZERO, ONE):
        bench.place(source, 0)
    bench.seconds(LATEST_S)
    assert set(bench.telemetry.stalled) == {ZERO, ONE}
    bench.source._changes = [Change(ONE, gained=False)]
    bench.assignment.apply_changes(bench.now)
    bench.seconds(1)
    assert set(bench.telemetry.stalled) == {ZERO}


def test_many_idle_partitions_take_turns() -> None:
    sources = [TopicPartition("flows", i) for i in range(200)]
    bench = Bench(*sources)
    bench.source.ends = dict.fromkeys(sources, 0)
    bench.seconds(QUERY_AFTER_S + 1)
    assert len(bench.source.asked) <= 2 * QUERIES_AT_ONCE
    bench.seconds(200 / QUERIES_AT_ONCE)
    assert set(bench.source.asked) == set(sources)
