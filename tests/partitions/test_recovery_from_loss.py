"""Recovery from what is lost or was moved: the group's offset, all snapshots, an operator's reset."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from tests.model.stream import START_MS, serving_model
from tests.partitions.bench import SOURCE, Bench, base, commit_metadata, placed_by, restorable, switch, waits
from worker.core.state.commit_metadata import EMPTY, Base
from worker.errors import StateLost
from worker.partitions.assigned import Phase
from worker.partitions.recovery import WAIT_RETRY_S
from worker.ports.log import Commit, TopicPartition

# A lost offset.


def outside_the_log(bench: Bench) -> str:
    restorable(bench)
    bench.source.low = 55
    return r"the committed offset 50 is outside the log \(55 to 60\)"


def expired(bench: Bench) -> str:
    restorable(bench)
    bench.broker.offsets.clear()
    return "the group's offset is gone, though state up to offset 30 is kept"


@pytest.mark.parametrize("loss", [outside_the_log, expired])
def test_a_lost_offset_stops_by_default(loss: Any) -> None:
    bench = Bench(kafka={"offset_lost": "stop"})
    reason = loss(bench)
    with pytest.raises(StateLost, match=reason):
        bench.place()
    assert bench.telemetry.offsets_lost == 0


@pytest.mark.parametrize(("loss", "low"), [(outside_the_log, 55), (expired, 0)])
def test_a_lost_offset_goes_on_at_the_logs_start_if_that_is_configured(loss: Any, low: int) -> None:
    bench = Bench(kafka={"offset_lost": "earliest"})
    loss(bench)
    placed = placed_by(bench)
    assert (placed.phase, placed.state.next_offset) == (Phase.COLD, low)
    assert bench.telemetry.offsets_lost == 1
    assert bench.broker.offsets[SOURCE] == Commit(low, commit_metadata().encode())


def test_an_offset_that_another_owner_has_moved_since_is_not_lost() -> None:
    bench = Bench(kafka={"offset_lost": "stop"})
    outside_the_log(bench)
    commit = bench.broker.offsets[SOURCE]
    bounds = bench.source.bounds

    def overtaken(source: TopicPartition, seconds: float = 5.0) -> tuple[int, int]:
        bench.broker.commit(SOURCE, Commit(58, commit.metadata))
        return bounds(source, seconds)

    bench.source.bounds = overtaken  # type: ignore[method-assign]
    assert waits(bench.place(), "the group's offset has moved on since it was read")
    assert bench.place(WAIT_RETRY_S).phase is Phase.CATCHING_UP


# All snapshots are gone.


def test_lost_snapshots_stop_the_worker_if_it_must_not_rebuild() -> None:
    bench = Bench(state={"rebuild": 0.0})
    restorable(bench)
    bench.promote()
    bench.store.wipe()
    with pytest.raises(StateLost, match=r"state\.rebuild: 0 stops here"):
        bench.place()


def test_lost_snapshots_are_rebuilt_from_the_last_stretch_of_the_log_under_todays_champion() -> None:
    bench = Bench(state={"rebuild": 25.0})
    for offset, record in enumerate(bench.broker.logs[SOURCE]):  # the last is now, and they are a second apart
        if record is not None:
            bench.broker.logs[SOURCE][offset] = type(record)(START_MS - 1_000 * (60 - offset), record.key, record.value)
    restorable(bench)
    champion = bench.promote(3)
    bench.store.wipe()
    placed = placed_by(bench)
    start = bench.source.offset_at(SOURCE, START_MS - 25_000)
    assert 35 <= start <= 37
    assert (placed.phase, placed.state.next_offset, placed.target) == (Phase.CATCHING_UP, start, 50)
    assert placed.state.versions == champion
    assert placed.metadata == commit_metadata(Base(EMPTY, start), switches=[switch(start, 3)])
    assert placed.committed == bench.broker.offsets[SOURCE], "the commit that names the new base is still to come"
    assert placed.stored is None
    assert bench.telemetry.rebuilt == 1


def test_a_rebuild_never_starts_past_the_commit_or_before_the_log() -> None:
    bench = Bench(state={"rebuild": 1.0})
    restorable(bench)
    bench.promote()
    bench.store.wipe()
    bench.broker.logs[SOURCE][:] = [None] * 60  # no record since: the search ends at the end of the log
    placed = placed_by(bench)
    assert (placed.state.next_offset, placed.target) == (50, 50)
    again = Bench(state={"rebuild": 86_400.0})
    restorable(again)
    again.promote()
    again.store.wipe()
    again.source.low = 7
    assert placed_by(again).state.next_offset == 7


def test_a_rebuild_without_a_champion_waits_for_one() -> None:
    bench = Bench()
    restorable(bench)
    bench.store.wipe()
    bench.registry.wipe()
    assert waits(bench.place(), "no snapshots and no champion")
    assert serving_model(2).versions.bundle in bench.assigned.waiting_for
    assert bench.telemetry.rebuilt == 0
    bench.promote()
    assert bench.place(WAIT_RETRY_S).phase is Phase.CATCHING_UP


# An operator moved the offset.


def test_a_rewind_restores_the_state_at_or_below_it_and_replays_from_there() -> None:
    bench = Bench()
    restorable(bench)
    bench.commit(25)
    placed = placed_by(bench)
    assert (placed.phase, placed.target) == (Phase.CATCHING_UP, 25)
    assert placed.state.encode() == bench.state(20).encode()
    assert placed.stored is not None and placed.stored.offset == 20
    assert placed.metadata == commit_metadata(base(placed.stored))
    assert placed.committed is None
    assert bench.source.position(SOURCE) == 20


def test_a_move_forward_keeps_the_state_and_stores_it_at_the_new_offset() -> None:
    bench = Bench()
    restorable(bench)
    bench.commit(45)
    placed = placed_by(bench)
    moved = bench.state(30)
    moved.next_offset = 45
    assert (placed.phase, placed.target) == (Phase.CATCHING_UP, 45)
    assert placed.state.encode() == moved.encode()
    assert placed.stored is not None and placed.stored.offset == 45
    assert placed.stored.id in bench.store.manifests[SOURCE], "the next commit may name it"
    assert placed.metadata == commit_metadata(base(placed.stored))
    assert bench.source.position(SOURCE) == 45, "the records between are not read"


def test_a_move_below_every_snapshot_starts_anew() -> None:
    bench = Bench()
    restorable(bench)
    bench.promote()
    bench.commit(10)
    placed = placed_by(bench)
    assert (placed.phase, placed.state.next_offset) == (Phase.LIVE, 10)
    assert placed.metadata.bases == (Base(EMPTY, 10),)


def test_foreign_metadata_counts_as_an_operators_move() -> None:
    bench = Bench()
    restorable(bench)
    bench.commit(25, "written by another program")
    with structlog.testing.capture_logs() as logs:
        assert placed_by(bench).target == 25
    assert "commit_metadata_foreign" in [entry["event"] for entry in logs]
