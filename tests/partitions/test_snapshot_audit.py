"""The audit: a snapshot that Redis has lost is stored anew, even if no record comes."""

from __future__ import annotations

import pytest

from tests.model.stream import serving_model
from tests.partitions.bench import SOURCE, Bench, base, commit_metadata
from worker.core.state.snapshot import HEAD, Snapshot
from worker.partitions.assigned import Phase, Placed
from worker.partitions.snapshot_audit import CHECK_EVERY_S, CHECKS_AT_ONCE, SnapshotAudit
from worker.ports.log import TopicPartition


class Audited(Bench):
    """Live partitions, each with a stored snapshot at offset 20, known to the audit since second 0."""

    def __init__(self, partitions: int = 1) -> None:
        super().__init__(partitions=partitions)
        self.audit = SnapshotAudit(self.store, self.assignment, lambda: self.now)
        state = self.state(20)
        self.stored = self.snapshot(state).without_contents()
        for assigned in self.assignment:
            placed = Placed(Phase.LIVE, "id", 0, state, commit_metadata(base(self.stored)), serving_model(1))
            placed.stored, placed.captured = self.stored, 20
            assigned.placed = placed
        self.audit.exchange()
        self.audit.check()

    @property
    def live(self) -> Placed:
        placed = self.assigned.live
        assert placed is not None
        return placed

    def lost(self, seconds: float = CHECK_EVERY_S) -> bool:
        """Whether a check `seconds` later finds the snapshot lost."""
        self.now += seconds
        self.audit.check()
        self.audit.exchange()
        return self.live.stored is None


@pytest.fixture
def bench() -> Audited:
    return Audited()


def test_a_snapshot_that_is_there_is_left_alone(bench: Audited) -> None:
    assert not bench.lost()
    assert bench.live.captured == 20


@pytest.mark.parametrize("part", ["manifest", "head"])
def test_a_lost_snapshot_is_taken_anew_as_a_whole(bench: Audited, part: str) -> None:
    if part == "manifest":
        bench.store.manifests.clear()
    else:
        [head] = bench.stored.chunks_of(HEAD)
        del bench.store.chunks[SOURCE, head.sha256]
    assert bench.lost()
    assert bench.live.captured == -1, "so that the next snapshot is due without a new record"


def test_redis_is_queried_every_twenty_seconds(bench: Audited) -> None:
    bench.store.wipe()
    assert not bench.lost(CHECK_EVERY_S - 0.1)
    assert bench.lost(0.1)


def test_while_redis_is_down_nothing_counts_as_lost(bench: Audited) -> None:
    bench.store.wipe()
    bench.redis_up = False
    assert not bench.lost()
    bench.redis_up = True
    assert bench.lost(0.0), "the check was not made, so it is still due"


def test_a_newer_snapshot_than_the_lost_one_is_kept(bench: Audited) -> None:
    bench.store.wipe()
    bench.now += CHECK_EVERY_S
    bench.audit.check()
    newer = bench.snapshot(bench.state(30)).without_contents()
    bench.live.stored, bench.live.captured = newer, 30
    bench.audit.exchange()
    assert (bench.live.stored, bench.live.captured) == (newer, 30)


def test_a_snapshot_in_flight_is_waited_for(bench: Audited) -> None:
    bench.live.in_flight = True
    bench.store.wipe()
    assert not bench.lost()


def test_a_released_partition_is_forgotten(bench: Audited) -> None:
    bench.store.wipe()
    bench.now += CHECK_EVERY_S
    bench.audit.check()
    placed = bench.live
    bench.assigned.placed = None
    bench.audit.exchange()
    assert placed.stored == bench.stored


def test_many_partitions_take_turns() -> None:
    """The ones that were checked longest ago come first, a few at a time."""
    bench = Audited(partitions=CHECKS_AT_ONCE + 20)
    checked: list[TopicPartition] = []
    get = bench.store.get

    def noted(topic: str, partition: int, *rest: object, **tables: object) -> Snapshot | None:
        checked.append(TopicPartition(topic, partition))
        return get(*SOURCE, bench.stored.id)

    bench.store.get = noted  # type: ignore[method-assign]
    bench.now += CHECK_EVERY_S
    bench.audit.check()
    assert len(set(checked)) == len(checked) == CHECKS_AT_ONCE
    bench.audit.check()
    assert len(set(checked)) == len(checked) == CHECKS_AT_ONCE + 20
    bench.audit.check()
    assert len(checked) == CHECKS_AT_ONCE + 20
