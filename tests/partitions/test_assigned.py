"""The assignment: numbers, recovery, the right to publish, and the commits that are due."""

from __future__ import annotations

import pytest
import structlog

from tests.model.stream import SETTINGS
from tests.partitions.bench import SOURCE, SPEC, Bench, commit_metadata
from worker.core.state.commit_metadata import Base
from worker.core.state.partition_state import PartitionState
from worker.partitions.assigned import AssignedPartition, Assignment, Phase, Placed
from worker.ports.log import Change, Commit, TopicPartition

OTHER = TopicPartition("events", 1)


def placed_in(phase: Phase, offset: int = 50) -> Placed:
    state = PartitionState(SPEC, "id", 0, offset, 0, SETTINGS.bounds)
    return Placed(phase, "id", 0, state, commit_metadata(Base("snapshot", 40)))


@pytest.fixture
def bench() -> Bench:
    return Bench(records=1, partitions=2)


def assigned_to(assignment: Assignment, source: TopicPartition) -> AssignedPartition:
    assigned = assignment.get(source)
    assert assigned is not None
    return assigned


def release(bench: Bench, *, gained: bool = False) -> None:
    changes = [Change(SOURCE, gained=False)] + [Change(SOURCE, gained=True)] * gained
    bench.source.changes = lambda: changes  # type: ignore[method-assign]
    bench.assignment.apply_changes(5.0)


def test_every_assignment_and_every_recovery_has_a_number_of_its_own(bench: Bench) -> None:
    first, other = bench.assigned, assigned_to(bench.assignment, OTHER)
    assert (first.number, other.number) == (1, 2)
    bench.assignment.recover(first, 1.0)
    assert (first.number, other.number) == (3, 2)
    release(bench, gained=True)
    again = bench.assigned
    assert again is not first
    assert (again.number, again.recovering_since) == (4, 5.0)
    bench.assignment.recover_all(6.0)
    assert {assigned.number for assigned in bench.assignment} == {5, 6}


def test_a_released_partition_is_gone(bench: Bench) -> None:
    release(bench)
    assert bench.assignment.get(SOURCE) is None
    assert [assigned.source for assigned in bench.assignment] == [OTHER]
    assert len(bench.assignment) == 1


def test_recovery_holds_the_partition_and_drops_what_was_placed(bench: Bench) -> None:
    bench.source.start(SOURCE, 0)
    assigned = bench.assigned
    assigned.placed, assigned.retry_at, assigned.snapshot_at, assigned.collected = (
        placed_in(Phase.LIVE),
        99.0,
        7.0,
        "snapshot",
    )
    bench.assignment.recover(assigned, 3.0)
    assert bench.source.position(SOURCE) is None, "it is not fetched any more"
    assert (assigned.phase, assigned.retry_at, assigned.recovering_since) == (Phase.RECOVERING, 0.0, 3.0)
    assert (assigned.snapshot_at, assigned.collected) == (7.0, "snapshot"), "these outlive a recovery"


def test_a_new_model_recovers_only_the_cold_partitions(bench: Bench) -> None:
    cold, live = bench.assigned, assigned_to(bench.assignment, OTHER)
    cold.placed, live.placed = placed_in(Phase.COLD), placed_in(Phase.LIVE)
    bench.assignment.recover_cold(1.0)
    assert (cold.phase, live.phase) == (Phase.RECOVERING, Phase.LIVE)


@pytest.mark.parametrize("phase", [Phase.COLD, Phase.CATCHING_UP, Phase.LIVE])
def test_only_a_live_partition_publishes(bench: Bench, phase: Phase) -> None:
    bench.assigned.placed = placed_in(phase)
    assert bench.assignment.publishes(bench.assigned) == (phase is Phase.LIVE)
    assert (bench.assigned.live is not None) == (phase is Phase.LIVE)


def test_outputs_of_an_earlier_assignment_are_not_published(bench: Bench) -> None:
    earlier = bench.assigned
    earlier.placed = placed_in(Phase.LIVE)
    assert bench.assignment.publishes(earlier)
    release(bench, gained=True)
    bench.assigned.placed = placed_in(Phase.LIVE)
    assert not bench.assignment.publishes(earlier)
    assert bench.assignment.publishes(bench.assigned)
    release(bench)
    assert not bench.assignment.publishes(earlier)


def test_a_commit_is_due_until_kafka_is_known_to_have_it() -> None:
    placed = placed_in(Phase.LIVE)
    commit = placed.commit()
    assert commit == Commit(50, placed.metadata.encode())
    placed.committed = commit
    assert placed.commit() is None
    placed.metadata = placed.metadata.with_base(Base("newer", 50))
    assert placed.commit() == Commit(50, placed.metadata.encode()), "a snapshot to be named is reason enough"
    placed.committed = placed.commit()
    placed.state.next_offset = 51
    assert placed.commit() == Commit(51, placed.metadata.encode())


@pytest.mark.parametrize("phase", [Phase.COLD, Phase.CATCHING_UP])
def test_a_partition_that_is_not_live_commits_nothing(phase: Phase) -> None:
    assert placed_in(phase).commit() is None


def test_the_reason_for_waiting_is_logged_once(bench: Bench) -> None:
    with structlog.testing.capture_logs() as logs:
        for until, reason in [(1.0, "Redis"), (2.0, "Redis"), (3.0, "Kafka")]:
            bench.assigned.wait(until, reason)
            assert (bench.assigned.retry_at, bench.assigned.waiting_for) == (until, reason)
    assert [entry["reason"] for entry in logs if entry["event"] == "recovery_waits"] == ["Redis", "Kafka"]
