"""When snapshots are taken, named and collected."""

from __future__ import annotations

import pytest

from tests.model.pod import Writer
from tests.model.stream import START_MS, serving_model
from tests.partitions.bench import SOURCE, Bench, commit_metadata, switch
from worker.core.state.commit_metadata import EMPTY, Base
from worker.core.state.retention import DAY_MS
from worker.core.state.snapshot import Ancestor, Snapshot
from worker.partitions.assigned import Phase, Placed
from worker.partitions.snapshot_writer import Collection
from worker.partitions.snapshots import COLLECT_WITHIN_S, Snapshots, ancestors_to_keep
from worker.ports.log import Commit

EVERY_S = 5.0


class Taking(Bench):
    """A live partition at offset 20, committed, that was never snapshotted."""

    def __init__(self) -> None:
        super().__init__()
        self.writer = Writer(self.store, self.telemetry)
        self.snapshots = Snapshots(self.writer, EVERY_S, lambda: self.now)
        self.now = EVERY_S
        model = serving_model(1)
        metadata = commit_metadata(Base(EMPTY, 0), switches=[switch(0, 1)])
        self.assigned.placed = Placed(Phase.LIVE, "id", 0, self.state(20), metadata, model)
        self.commit_all()

    @property
    def live(self) -> Placed:
        placed = self.assigned.live
        assert placed is not None
        return placed

    def commit_all(self) -> None:
        self.live.committed = Commit(self.live.state.next_offset, self.live.metadata.encode())

    def take(self, seconds: float = 0.0) -> bool:
        """Whether a snapshot is taken `seconds` later."""
        self.now += seconds
        before = self.assigned.snapshot_at
        self.snapshots.take(self.assignment, self.now, START_MS + int(1_000 * self.now))
        return self.assigned.snapshot_at != before

    def store_snapshot(self) -> Snapshot:
        """Let the writer store what was taken, and the next commit name it."""
        while self.writer.step() and self.live.in_flight:
            self.snapshots.name_stored(self.assignment)
        assert self.live.stored is not None
        return self.live.stored

    def more(self, until: int) -> None:
        """More records, not committed yet."""
        self.state(until, on=self.live.state)


@pytest.fixture
def bench() -> Taking:
    return Taking()


def test_a_snapshot_is_due_after_its_interval(bench: Taking) -> None:
    assert bench.take()
    bench.store_snapshot()
    bench.more(30)
    bench.commit_all()
    assert not bench.take(EVERY_S - 0.1)
    assert bench.take(0.1)
    assert bench.assigned.snapshot_at == bench.now


def test_nothing_new_is_nothing_to_snapshot(bench: Taking) -> None:
    assert bench.take()
    bench.store_snapshot()
    assert not bench.take(10 * EVERY_S)


def test_only_one_snapshot_of_a_partition_is_in_flight(bench: Taking) -> None:
    assert bench.take()
    bench.more(30)
    bench.commit_all()
    assert not bench.take(10 * EVERY_S)
    bench.store_snapshot()
    assert bench.take()


def test_only_committed_state_is_captured(bench: Taking) -> None:
    bench.more(30)
    assert not bench.take()
    bench.live.committed = None
    assert not bench.take()
    bench.commit_all()
    assert bench.take()


@pytest.mark.parametrize("phase", [Phase.COLD, Phase.CATCHING_UP])
def test_only_a_live_partition_is_snapshotted(bench: Taking, phase: Phase) -> None:
    placed = bench.live
    placed.phase = phase
    bench.snapshots.take(bench.assignment, bench.now, START_MS)
    assert placed.captured == -1


def test_a_stored_snapshot_is_named_and_the_next_one_builds_on_it(bench: Taking) -> None:
    bench.take()
    first = bench.store_snapshot()
    assert not first.contents
    assert not bench.live.in_flight
    assert bench.live.metadata.bases == (Base(EMPTY, 0), Base(first.id, 20))
    bench.more(40)
    bench.commit_all()
    assert bench.take(EVERY_S)
    second = bench.store_snapshot()
    assert second.ancestors == (first.ancestor,)
    assert bench.live.metadata.bases == (Base(first.id, 20), Base(second.id, 40))


@pytest.mark.parametrize("lost", ["recovered", "revoked"])
def test_a_snapshot_of_an_earlier_assignment_is_not_named(bench: Taking, lost: str) -> None:
    bench.take()
    placed = bench.live
    bench.assignment.recover(bench.assigned, bench.now)
    bench.assigned.placed = placed
    if lost == "revoked":
        bench.assigned.placed = None
    bench.writer.step()
    bench.snapshots.name_stored(bench.assignment)
    assert placed.metadata.bases == (Base(EMPTY, 0),)
    assert placed.stored is None


def test_a_shared_chunk_that_redis_has_lost_makes_the_next_snapshot_a_whole_one(bench: Taking) -> None:
    bench.take()
    bench.store_snapshot()
    bench.store.wipe()
    bench.more(22)
    bench.commit_all()
    assert bench.take(EVERY_S)
    bench.writer.step()
    bench.snapshots.name_stored(bench.assignment)
    assert (bench.live.stored, bench.live.captured, bench.live.in_flight) == (None, -1, False)
    assert bench.take(EVERY_S)
    stored = bench.store_snapshot()
    assert bench.store.get(*SOURCE, stored.id) is not None
    assert stored.ancestors == ()


def test_redis_down_keeps_the_snapshot_until_it_is_up(bench: Taking) -> None:
    bench.take()
    bench.redis_up = False
    assert not bench.writer.step()
    bench.snapshots.name_stored(bench.assignment)
    assert (bench.live.in_flight, bench.telemetry.snapshots_failed) == (True, 1)
    bench.redis_up = True
    assert bench.store_snapshot().offset == 20
    assert bench.telemetry.snapshots_written == 1


# Collection.


def line_of(bench: Taking, count: int) -> list[Snapshot]:
    """So many snapshots, each on the one before, all named and committed in turn."""
    snapshots = []
    for until in range(20, 20 + count):
        bench.more(until)
        bench.commit_all()
        assert bench.take(EVERY_S)
        snapshots.append(bench.store_snapshot())
    return snapshots


def present(bench: Taking, snapshots: list[Snapshot]) -> list[bool]:
    return [snapshot.id in bench.store.manifests[SOURCE] for snapshot in snapshots]


def test_ancestors_are_deleted_once_a_commit_names_the_newer_snapshot(bench: Taking) -> None:
    snapshots = line_of(bench, 6)
    before = present(bench, snapshots)
    bench.take()
    bench.writer.step()
    assert present(bench, snapshots) == before, "the newest is not known to be committed"
    bench.commit_all()
    bench.take()
    bench.writer.step()
    assert present(bench, snapshots)[-3:] == [True] * 3
    assert present(bench, snapshots).count(False) > before.count(False)


def test_a_snapshot_is_collected_once(bench: Taking) -> None:
    line_of(bench, 2)
    bench.commit_all()
    collections: list[Collection] = []
    bench.writer.collect = collections.append  # type: ignore[method-assign, assignment]
    for _ in range(3):
        bench.take()
    assert len(collections) == 1


def test_a_collection_that_begins_too_late_deletes_nothing(bench: Taking) -> None:
    snapshots = line_of(bench, 6)
    bench.commit_all()
    before = present(bench, snapshots)
    bench.take()
    bench.now += COLLECT_WITHIN_S
    bench.writer.step()
    assert present(bench, snapshots) == before


# Draining.


def test_a_drain_snapshots_what_is_new_whether_or_not_it_is_due(bench: Taking) -> None:
    bench.take()
    bench.store_snapshot()
    bench.more(30)
    bench.commit_all()
    bench.snapshots.drain(bench.assignment, bench.now, START_MS, 1.0)
    assert bench.live.metadata.bases[-1].offset == 30


def test_a_drain_after_redis_was_emptied_takes_a_whole_snapshot(bench: Taking) -> None:
    bench.take()
    bench.store_snapshot()
    bench.more(22)
    bench.commit_all()
    bench.store.wipe()
    bench.snapshots.drain(bench.assignment, bench.now, START_MS, 1.0)
    newest = bench.live.metadata.bases[-1]
    assert newest.offset == 22
    assert bench.store.get(*SOURCE, newest.snapshot) is not None


# Retention.


def test_what_a_commit_names_is_kept_however_old_it_is() -> None:
    line = [Ancestor(f"a{i}", 100 - i, START_MS - i * 60_000) for i in range(1, 9)]
    newest = Snapshot("t", "id", 0, 100, "spec", "b", "t", START_MS, tuple(line), ())
    kept = [ancestor.id for ancestor in ancestors_to_keep(newest, (newest.id, "a7"), START_MS, 0)]
    assert kept[:3] == [newest.id, "a1", "a2"]
    assert "a7" in kept
    assert "a5" not in kept
    later = ancestors_to_keep(newest, (), START_MS + 8 * DAY_MS, 0)
    assert [ancestor.id for ancestor in later] == [newest.id, "a1", "a2"]
