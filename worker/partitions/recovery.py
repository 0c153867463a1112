"""The one recovery path: start, restart, rebalance and error all come through here.

Read the committed offset and its metadata, which names the snapshot and the versions. Restore the state, and hand the
partition back to the loop in CATCHING_UP, LIVE or COLD. Nothing is guessed: a query that fails is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from worker.config.settings import Settings
from worker.core.model.serving_model import ServingModel, Versions
from worker.core.state.capture import capture_state
from worker.core.state.commit_metadata import EMPTY, Base, CommitMetadata, Switch
from worker.core.state.partition_state import PartitionState
from worker.core.state.snapshot import Snapshot
from worker.errors import BundleRefused, StateLost
from worker.partitions.assigned import AssignedPartition, Phase, Placed
from worker.partitions.committed import partitions_at_start, read_metadata
from worker.partitions.model_feed import ModelFeed
from worker.partitions.restore import StateLoader
from worker.partitions.snapshots import ancestors_to_keep
from worker.ports.log import (
    Commit,
    Committed,
    LogUnavailable,
    ProducerReplaced,
    PublishAborted,
    Sink,
    Source,
    TopicPartition,
)
from worker.ports.stores import MissingObject, SnapshotStore, StoreUnavailable
from worker.telemetry import Telemetry

PENDING_RETRY_S = 0.2
WAIT_RETRY_S = 1.0
HANGING_S = 20.0
"""Twice the transaction timeout: a transaction that is still pending then will not end by itself."""

log = structlog.get_logger()


class Wait(Exception):
    """The partition cannot be placed yet; the text says what it waits for."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a partition is: its topic's id, and the bounds of its log."""

    source: TopicPartition
    topic_id: str
    low: int
    high: int


class Recovery:
    """Places recovering partitions, one pass at a time."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        store: SnapshotStore,
        feed: ModelFeed,
        telemetry: Telemetry,
        sink: Sink,
        wall_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._source = source
        self._store = store
        self._feed = feed
        self._telemetry = telemetry
        self._sink = sink
        self._wall_ms = wall_ms
        self._short_spec = settings.spec.spec_hash.removeprefix("sha256:")[:16]
        self._states = StateLoader(settings, store)

    def place(self, assignment: Iterable[AssignedPartition], now: float) -> None:
        """One pass over the recovering partitions that are due; `now` in monotonic seconds."""
        due = [assigned for assigned in assignment if assigned.placed is None and now >= assigned.retry_at]
        if not due:
            return
        try:
            answers = self._source.committed([assigned.source for assigned in due])
        except LogUnavailable as error:
            for assigned in due:
                assigned.wait(now + WAIT_RETRY_S, str(error))
            return
        for assigned in due:
            try:
                committed = answers.get(assigned.source)
                if committed is None:
                    self._wait_for_transaction(assigned, now)
                    continue
                placed = self._place(assigned.source, committed)
                assigned.placed, assigned.waiting_for = placed, ""
                if placed.model is not None:
                    self._telemetry.set_model(placed.model)
            except Wait as wait:
                assigned.wait(now + WAIT_RETRY_S, str(wait))
            except (StoreUnavailable, MissingObject, BundleRefused, LogUnavailable) as error:
                assigned.wait(now + WAIT_RETRY_S, f"{type(error).__name__}: {error}")

    def _wait_for_transaction(self, assigned: AssignedPartition, now: float) -> None:
        text = "a transaction is pending on this partition"
        if now - assigned.recovering_since > HANGING_S:
            text = (
                f"hanging transaction: the group's offset has been pending for more than {HANGING_S:.0f} s; find it "
                f"with `kafka-transactions.sh find-hanging` and end it with `kafka-transactions.sh abort`"
            )
        assigned.wait(now + PENDING_RETRY_S, text)

    def _place(self, source: TopicPartition, committed: Committed) -> Placed:
        topic, partition = source
        topic_id = self._source.topic_id(topic)
        low, high = self._source.bounds(source)
        place = _Place(source, topic_id, low, high)
        offset, metadata = committed.offset, read_metadata(source, committed.metadata)
        if offset is None:
            return self._start_group(place, committed)
        if metadata is not None and metadata.topic_id != topic_id:
            log.warning("topic_recreated", topic=topic, partition=partition, was=metadata.topic_id, now=topic_id)
            return self._start_empty(place, low)
        if not low <= offset <= high:
            why = f"the committed offset {offset} is outside the log ({low} to {high})"
            return self._handle_lost_offset(place, committed, why)
        if metadata is None:
            return self._follow_operator(place, offset)
        if metadata.cold:
            return self._start_empty(place, offset)
        if metadata.spec != self._short_spec:
            log.warning("feature_spec_changed", topic=topic, partition=partition, effect="state starts anew")
            return self._start_empty(place, offset)
        placed = self._restore(place, metadata, offset)
        placed.committed = Commit(offset, committed.metadata)
        return placed

    # A partition without a committed offset.

    def _start_group(self, place: _Place, committed: Committed) -> Placed:
        """Begin where `kafka.start` says, unless kept state shows that the group had an offset before."""
        topic, partition = place.source
        kept = self._store.newest_at_or_below(topic, place.topic_id, partition, place.high)
        if kept is not None:
            why = f"the group's offset is gone, though state up to offset {kept.offset} is kept"
            return self._handle_lost_offset(place, committed, why)
        start, before = self._settings.kafka.start, partitions_at_start(self._source, topic)
        if start == "earliest" or partition >= before:  # a partition that was added later begins at its start
            offset = place.low
        elif start == "latest":
            offset = place.high
        else:
            offset = self._source.offset_at(place.source, int(start.timestamp() * 1000))
        log.info("first_start", topic=topic, partition=partition, offset=offset)
        return self._start_empty(place, offset)

    def _handle_lost_offset(self, place: _Place, committed: Committed, why: str) -> Placed:
        topic, partition = place.source
        if self._source.committed([place.source])[place.source] != committed:
            # This process stood still after its query, and another owner has gone on since.
            raise Wait("the group's offset has moved on since it was read")
        if self._settings.kafka.offset_lost == "stop":
            raise StateLost(
                f"{topic}/{partition}: {why}; kafka.offset_lost: stop. Records may never have been scored. "
                f"Set kafka.offset_lost: earliest to go on at {place.low}, or reset the group's offset."
            )
        log.error("offset_lost", topic=topic, partition=partition, reason=why, goes_on_at=place.low)
        self._telemetry.count_lost_offset()
        return self._start_empty(place, place.low)

    def _start_empty(self, place: _Place, offset: int) -> Placed:
        """An empty state at `offset`: live under the champion, cold without one. Committed before the first read."""
        metadata = CommitMetadata(place.topic_id, self._short_spec, self._source.partitions(place.source.topic))
        self._feed.refresh()
        model = self._feed.latest
        placed = self._empty(place, metadata, offset, model)
        placed.phase = Phase.COLD if model is None else Phase.LIVE
        commit = Commit(offset, placed.metadata.encode())
        self._commit_start(place.source, commit)
        placed.committed = commit
        self._source.start(place.source, offset)
        return placed

    def _commit_start(self, source: TopicPartition, commit: Commit) -> None:
        membership = self._source.membership()
        if membership is None:
            raise Wait("the group has not admitted this member yet")
        try:
            self._sink.publish([], {source: commit}, membership)
        except (PublishAborted, ProducerReplaced) as error:
            raise Wait(f"the start offset could not be committed: {error}") from error

    def _empty(self, place: _Place, metadata: CommitMetadata, offset: int, model: ServingModel | None) -> Placed:
        state = self._states.empty(place.topic_id, place.source.partition, offset)
        if model is not None:
            state.adopt(model.versions)
            switch = Switch(offset, model.versions.bundle, model.versions.threshold)
            metadata = metadata.with_base(Base(EMPTY, offset)).with_switch(switch)
        return Placed(Phase.CATCHING_UP, place.topic_id, place.low, state, metadata, model)

    # A partition with a history.

    def _restore(self, place: _Place, metadata: CommitMetadata, committed: int) -> Placed:
        loaded = self._states.newest(place.source, place.topic_id, metadata)
        if loaded is None:
            return self._rebuild(place, metadata, committed)
        state, stored = loaded
        model = self._feed.model_of(state.versions) if state.versions.bundle else None
        switches = [switch for switch in metadata.switches if switch.offset >= state.next_offset]
        for switch in switches:  # all of them must be there before the first record is replayed
            self._feed.model_of(Versions(switch.bundle, switch.threshold))
        if state.next_offset < place.low:
            log.error("catch_up_gap", partition=place.source.partition, missing=place.low - state.next_offset)
            state.next_offset = place.low
        return self._start_catch_up(place, state, model, metadata, committed, stored, switches)

    def _start_catch_up(
        self,
        place: _Place,
        state: PartitionState,
        model: ServingModel | None,
        metadata: CommitMetadata,
        target: int,
        stored: Snapshot | None = None,
        switches: Iterable[Switch] = (),
    ) -> Placed:
        placed = Placed(
            Phase.CATCHING_UP,
            place.topic_id,
            place.low,
            state,
            metadata,
            model,
            target,
            list(switches),
            stored=stored,
            captured=state.next_offset,
        )
        self._source.start(place.source, state.next_offset)
        log.info(
            "restored",
            topic=place.source.topic,
            partition=place.source.partition,
            entities=len(state.entities),
            snapshot_offset=state.next_offset,
            committed=target,
            behind=target - state.next_offset,
        )
        return placed

    def _rebuild(self, place: _Place, metadata: CommitMetadata, committed: int) -> Placed:
        """All snapshots are gone: replay a stretch of the log into an empty state, under today's champion."""
        topic, partition = place.source
        window = self._settings.state.rebuild
        if window <= 0:
            raise StateLost(
                f"{topic}/{partition}: the snapshots that the commit names are gone from Redis; state.rebuild: 0 stops "
                f"here. Set state.rebuild to a duration to build the state from the log."
            )
        self._feed.refresh()
        model = self._feed.latest
        if model is None:
            missing = metadata.switches[-1].bundle if metadata.switches else "the champion"
            raise Wait(f"Redis has no snapshots and no champion (the commit names {missing}): import or train one")
        since = self._wall_ms() - int(window * 1000)
        start = min(max(place.low, self._source.offset_at(place.source, since)), committed)
        log.error("state_rebuilt", topic=topic, partition=partition, start=start, to=committed)
        self._telemetry.count_rebuilt_state()
        fresh = CommitMetadata(place.topic_id, self._short_spec, metadata.partitions)
        empty = self._empty(place, fresh, start, model)
        return self._start_catch_up(place, empty.state, model, empty.metadata, committed)

    def _follow_operator(self, place: _Place, offset: int) -> Placed:
        """A commit without our metadata: an operator moved the offset. State follows it back; forward, it goes on."""
        topic, partition = place.source
        loaded = self._states.at_or_below(place.source, place.topic_id, offset)
        if loaded is None:
            log.warning("offset_moved", topic=topic, partition=partition, to=offset, state="starts anew")
            return self._start_empty(place, offset)
        state, stored = loaded
        newest = self._store.newest_at_or_below(topic, place.topic_id, partition, 2**62)
        rewound = newest is not None and newest.offset > offset
        log.warning("offset_moved", topic=topic, partition=partition, to=offset, rewound=rewound)
        model = self._feed.model_of(state.versions)
        if not rewound:
            state.next_offset = offset  # the records between are not read: whoever skipped them meant to
            kept = ancestors_to_keep(stored, (), self._wall_ms(), place.low)
            moved = capture_state(state, topic, stored, kept, self._wall_ms()).encode()
            self._store.put(moved)
            stored = moved.without_contents()
        metadata = CommitMetadata(place.topic_id, self._short_spec, self._source.partitions(topic))
        metadata = metadata.with_base(Base(stored.id, stored.offset))
        return self._start_catch_up(place, state, model, metadata, offset, stored)
