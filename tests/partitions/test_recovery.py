"""Where recovery places a partition, by what the group has committed and what Redis still has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from tests.model.stream import SETTINGS, START_MS, serving_model, versions
from tests.partitions.bench import (
    COOLDOWN_MS,
    SOURCE,
    SPEC,
    Bench,
    commit_metadata,
    placed_by,
    restorable,
    switch,
    waits,
)
from worker.core.state.commit_metadata import EMPTY, Base
from worker.core.state.partition_state import PartitionState
from worker.core.state.snapshot import HEAD, Snapshot
from worker.partitions.assigned import Phase
from worker.partitions.recovery import HANGING_S, PENDING_RETRY_S, WAIT_RETRY_S
from worker.ports.log import Commit, TopicPartition

# No committed offset.


def test_without_an_offset_and_without_a_model_it_is_cold_and_its_start_is_committed() -> None:
    bench = Bench()
    placed = placed_by(bench)
    assert (placed.phase, placed.model, placed.state.next_offset) == (Phase.COLD, None, 0)
    assert placed.committed == Commit(0, commit_metadata().encode())
    assert bench.broker.offsets == {SOURCE: placed.committed}
    assert bench.source.position(SOURCE) == 0


def test_without_an_offset_and_with_a_champion_it_is_live_from_an_empty_state() -> None:
    bench = Bench()
    champion = bench.promote(2)
    placed = placed_by(bench)
    assert (placed.phase, placed.state.next_offset, placed.state.versions) == (Phase.LIVE, 0, champion)
    assert placed.model is not None and placed.model.versions == champion
    assert bench.telemetry.model is placed.model
    assert placed.metadata == commit_metadata(Base(EMPTY, 0), switches=[switch(0, 2)])
    assert bench.broker.offsets == {SOURCE: Commit(0, placed.metadata.encode())}


@pytest.mark.parametrize(
    ("start", "offset"),
    [("earliest", 7), ("latest", 60), (datetime.fromtimestamp(START_MS / 1_000 + 30, UTC), 30)],
    ids=["earliest", "latest", "a time"],
)
def test_a_group_without_an_offset_begins_where_it_is_configured_to(start: Any, offset: int) -> None:
    bench = Bench(kafka={"start": start})
    bench.source.low = 7
    placed = placed_by(bench)
    assert placed.state.next_offset == offset
    assert bench.source.position(SOURCE) == offset


def test_a_partition_that_was_added_later_begins_at_its_start() -> None:
    """The group's other commits recorded one partition, so this one was added while nobody watched."""
    bench = Bench(partitions=2, kafka={"start": "latest"})
    restorable(bench)
    added = TopicPartition("events", 1)
    bench.broker.logs[added] += bench.broker.logs[SOURCE]
    bench.place()
    assigned = bench.assignment.get(added)
    assert assigned is not None and assigned.placed is not None
    assert assigned.placed.state.next_offset == 0


def test_a_cold_commit_starts_empty_where_it_stands() -> None:
    bench = Bench()
    bench.commit(12, commit_metadata())
    champion = bench.promote()
    placed = placed_by(bench)
    assert (placed.phase, placed.state.next_offset, placed.state.versions) == (Phase.LIVE, 12, champion)
    assert placed.metadata.bases == (Base(EMPTY, 12),)


def test_a_start_offset_that_cannot_be_committed_is_waited_for() -> None:
    bench = Bench()
    bench.sink.aborts = True
    assert waits(bench.place(), "the start offset could not be committed: planted")
    assert bench.assigned.retry_at == bench.now + WAIT_RETRY_S
    bench.sink.aborts, bench.source.admitted = False, False
    assert waits(bench.place(WAIT_RETRY_S), "the group has not admitted this member yet")
    assert bench.source.position(SOURCE) is None
    bench.source.admitted = True
    assert bench.place(WAIT_RETRY_S).phase is Phase.COLD


# A commit that names snapshots.


def test_the_newest_named_snapshot_is_restored_and_caught_up_from() -> None:
    bench = Bench()
    commit, metadata = restorable(bench)
    placed = placed_by(bench)
    assert (placed.phase, placed.target, placed.captured) == (Phase.CATCHING_UP, 50, 30)
    assert placed.state.encode() == bench.state(30).encode()
    assert placed.model is not None and placed.model.versions == serving_model(1).versions
    assert placed.switches == [switch(40, 2)]
    assert (placed.metadata, placed.committed) == (metadata, commit)
    assert placed.stored is not None and placed.stored.offset == 30 and not placed.stored.contents
    assert bench.source.position(SOURCE) == 30
    assert bench.sink.commits == [], "nothing new is committed"


@pytest.mark.parametrize("loss", ["missing", "damaged"])
def test_the_older_snapshot_is_restored_if_the_newest_is_missing_or_damaged(loss: str) -> None:
    bench = Bench()
    _, metadata = restorable(bench)
    newest = metadata.bases[1].snapshot
    if loss == "missing":
        bench.store.manifests[SOURCE].pop(newest)
    else:
        head = Snapshot.from_manifest(bench.store.manifests[SOURCE][newest]).chunks_of(HEAD)[0]
        bench.store.chunks[SOURCE, head.sha256] += b"?"
    placed = placed_by(bench)
    assert placed.state.encode() == bench.state(20).encode()
    assert placed.switches == [switch(20, 1), switch(40, 2)]


def test_a_gap_between_snapshot_and_log_is_passed_over() -> None:
    bench = Bench()
    restorable(bench)
    bench.source.low = 35
    with structlog.testing.capture_logs() as logs:
        placed = placed_by(bench)
    assert placed.state.next_offset == 35
    assert [entry["missing"] for entry in logs if entry["event"] == "catch_up_gap"] == [5]


def test_a_version_that_redis_has_lost_is_waited_for() -> None:
    bench = Bench()
    restorable(bench)
    bench.registry.wipe()
    bench.registry.put_version(versions()[0])
    assert waits(bench.place(), "MissingObject: bundle")
    assert bench.source.position(SOURCE) is None
    bench.registry.put_version(versions()[1])
    assert bench.place(WAIT_RETRY_S / 2).phase is Phase.RECOVERING
    assert bench.place(WAIT_RETRY_S / 2).phase is Phase.CATCHING_UP


def test_redis_down_is_waited_for() -> None:
    bench = Bench()
    restorable(bench)
    bench.redis_up = False
    assert waits(bench.place(), "StoreUnavailable: planted")
    bench.redis_up = True
    assert bench.place(WAIT_RETRY_S).phase is Phase.CATCHING_UP


def test_a_changed_feature_spec_starts_anew_at_the_commit() -> None:
    bench = Bench()
    bench.commit(50, commit_metadata(Base(EMPTY, 0), spec="0" * 16))
    bench.promote()
    placed = placed_by(bench)
    assert (placed.phase, placed.state.next_offset) == (Phase.LIVE, 50)
    assert placed.metadata == commit_metadata(Base(EMPTY, 50), switches=[switch(50, 1)])


def test_a_recreated_topic_starts_anew_at_its_beginning() -> None:
    bench = Bench()
    restorable(bench)
    bench.promote()
    bench.source.low, bench.source.id = 3, "another topic"
    placed = placed_by(bench)
    assert (placed.phase, placed.state.next_offset, placed.topic_id) == (Phase.LIVE, 3, "another topic")
    assert placed.metadata.topic_id == "another topic"
    assert placed.committed is not None and placed.committed.offset == 3


# Queries that have no answer yet.


def test_a_pending_transaction_is_waited_for_and_a_hanging_one_is_named() -> None:
    bench = Bench()
    restorable(bench)
    epoch = bench.broker.begin_producer("predecessor")
    bench.broker.add_offsets("predecessor", epoch, {SOURCE: Commit(55, "")}, None)
    assert waits(bench.place(), "a transaction is pending")
    assert bench.assigned.retry_at == bench.now + PENDING_RETRY_S
    assert waits(bench.place(HANGING_S), "a transaction is pending")
    assert waits(bench.place(1.0), "hanging transaction")
    assert bench.source.position(SOURCE) is None
    assert bench.broker.end("predecessor", epoch, commit=False) is not None
    assert bench.place(PENDING_RETRY_S).phase is Phase.CATCHING_UP


def test_kafka_down_is_waited_for_without_guessing() -> None:
    bench = Bench()
    restorable(bench)
    bench.source.answers = False
    assert waits(bench.place(), "timed out")
    bench.source.answers = True
    assert bench.place(WAIT_RETRY_S / 2).phase is Phase.RECOVERING
    assert bench.place(WAIT_RETRY_S / 2).phase is Phase.CATCHING_UP
    assert bench.assigned.waiting_for == ""


def test_a_placed_partition_is_left_alone() -> None:
    bench = Bench()
    placed = placed_by(bench)
    bench.source.answers = False
    bench.place(10.0)
    assert bench.assigned.placed is placed


def test_a_snapshot_whose_state_belongs_elsewhere_counts_as_missing() -> None:
    bench = Bench()
    _, metadata = restorable(bench)
    elsewhere = PartitionState(SPEC, "another topic", SOURCE.partition, 30, COOLDOWN_MS, SETTINGS.bounds)
    foreign = bench.snapshot(elsewhere)
    named = Base(foreign.id, 30)
    bench.commit(50, commit_metadata(metadata.bases[0], named, switches=metadata.switches))
    with structlog.testing.capture_logs() as logs:
        placed = placed_by(bench)
    assert placed.state.encode() == bench.state(20).encode()
    assert [entry["snapshot"] for entry in logs if entry["event"] == "snapshot_refused"] == [foreign.id]


def test_recovered_versions_are_not_todays_champion() -> None:
    """A replay scores each record with the version that was in force at it."""
    bench = Bench()
    restorable(bench)
    champion = bench.promote(3)
    placed = placed_by(bench)
    assert placed.model is not None
    assert placed.state.versions == placed.model.versions == serving_model(1).versions
    assert champion == serving_model(3).versions
