"""The one recovery path: start, restart, reassignment and error all come through here.

Read the committed offset and its metadata, which names the snapshot and the versions. Restore the state, and hand the
partition back to the loop in CATCHING_UP, LIVE or COLD. Nothing is guessed: a query that fails is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog

from worker.config.settings import Settings
from worker.core.state.commit_metadata import EMPTY, Base, CommitMetadata, Switch
from worker.core.state.partition_state import PartitionState, Versions
from worker.errors import BundleRefused, StateLost
from worker.partitions.assigned import AssignedPartition, Phase
from worker.partitions.restore import StateLoader
from worker.partitions.serving import ModelFeed, ServingModel
from worker.partitions.snapshots import taken
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
from worker.ports.stores import MissingPart, SnapshotStore, StoreUnavailable
from worker.telemetry import Telemetry

PENDING_RETRY_S = 0.2
WAIT_RETRY_S = 1.0
HANGING_S = 20.0  # twice the transaction time-out

log = structlog.get_logger()


class Wait(Exception):
    """Not yet: what the partition waits for, to be asked again."""


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
        self._spec = settings.spec
        self._short_spec = self._spec.spec_hash.removeprefix("sha256:")[:16]
        self._states = StateLoader(settings, store)

    def place(self, assignment: Iterable[AssignedPartition], now: float) -> None:
        """One pass over the recovering partitions that are due; `now` in monotonic seconds."""
        due = [assigned for assigned in assignment if assigned.phase is Phase.RECOVERING and now >= assigned.retry_at]
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
                answer = answers.get(assigned.source)
                if answer is None:
                    self._pending(assigned, now)
                else:
                    self._place(assigned, answer)
                    assigned.waiting_for = ""
                    if assigned.model is not None:
                        self._telemetry.serves(assigned.model)
            except Wait as wait:
                assigned.wait(now + WAIT_RETRY_S, str(wait))
            except (StoreUnavailable, MissingPart, BundleRefused, LogUnavailable) as error:
                assigned.wait(now + WAIT_RETRY_S, f"{type(error).__name__}: {error}")

    def _pending(self, assigned: AssignedPartition, now: float) -> None:
        text = "a transaction is pending on this partition"
        if now - assigned.recovering_since > HANGING_S:
            text = (
                f"hanging transaction: the group's offset has been pending for more than {HANGING_S:.0f} s; find it "
                f"with `kafka-transactions.sh find-hanging` and end it with `kafka-transactions.sh abort`"
            )
        assigned.wait(now + PENDING_RETRY_S, text)

    def _place(self, assigned: AssignedPartition, committed: Committed) -> None:
        topic, partition = assigned.source
        assigned.topic_id = self._source.topic_id(topic)
        low, high = self._source.bounds(assigned.source)
        assigned.low = low
        offset = committed.offset
        metadata = _decoded(assigned.source, committed.metadata)
        if offset is None:
            self._first_start(assigned, committed, low, high)
        elif metadata is not None and metadata.topic_id != assigned.topic_id:
            log.warning(
                "topic_recreated", topic=topic, partition=partition, was=metadata.topic_id, now=assigned.topic_id
            )
            self._begin(assigned, low)
        elif not low <= offset <= high:
            self._lost(assigned, committed, low, f"the committed offset {offset} is outside the log ({low} to {high})")
        elif metadata is None:
            self._moved(assigned, offset, low)
        elif metadata.cold:
            self._begin(assigned, offset)
        elif metadata.spec != self._short_spec:
            log.warning("feature_spec_changed", topic=topic, partition=partition, effect="state starts anew")
            self._begin(assigned, offset)
        else:
            self._restore(assigned, metadata, offset, low)
            assigned.committed = (offset, committed.metadata)

    # Where a partition without a committed offset begins.

    def _first_start(self, assigned: AssignedPartition, committed: Committed, low: int, high: int) -> None:
        topic, partition = assigned.source
        kept = self._store.newest_at_or_below(topic, assigned.topic_id, partition, high)
        if kept is not None:
            why = f"the group's offset is gone, though state up to offset {kept.offset} is kept"
            self._lost(assigned, committed, low, why)
            return
        start = self._settings.kafka.start
        count = self._source.partitions(topic)
        others = self._source.committed([TopicPartition(topic, i) for i in range(count)])
        known = [_decoded(source, answer.metadata) for source, answer in others.items() if answer is not None]
        before = min((metadata.partitions for metadata in known if metadata is not None), default=count)
        if start == "earliest" or partition >= before:  # a partition that was added later begins at its start
            offset = low
        elif start == "latest":
            offset = high
        else:
            offset = self._source.offset_at(assigned.source, int(start.timestamp() * 1000))
        log.info("first_start", topic=topic, partition=partition, offset=offset)
        self._begin(assigned, offset)

    def _lost(self, assigned: AssignedPartition, committed: Committed, low: int, why: str) -> None:
        topic, partition = assigned.source
        if self._source.committed([assigned.source])[assigned.source] != committed:
            # This process stood still after it had asked, and another owner has gone on meanwhile.
            raise Wait("the group's offset has moved on since it was read")
        if self._settings.kafka.offset_lost == "stop":
            raise StateLost(
                f"{topic}/{partition}: {why}; kafka.offset_lost: stop. Records may never have been scored. "
                f"Set kafka.offset_lost: earliest to go on at {low}, or reset the group's offset."
            )
        log.error("offset_lost", topic=topic, partition=partition, reason=why, goes_on_at=low)
        self._telemetry.offsets_lost += 1
        self._begin(assigned, low)

    def _begin(self, assigned: AssignedPartition, offset: int) -> None:
        """An empty state at `offset`: live under the champion, cold without one. Committed before the first read."""
        metadata = CommitMetadata(assigned.topic_id, self._short_spec, self._source.partitions(assigned.source.topic))
        self._feed.refresh()
        model = self._feed.latest
        if model is not None:
            metadata = self._from_empty(assigned, metadata, offset, model)
        self._commit_start(assigned.source, Commit(offset, metadata.encode()))
        assigned.committed = (offset, metadata.encode())
        assigned.metadata = metadata
        assigned.sampled_rows = 0
        if model is None:
            assigned.state = self._states.empty(assigned, offset)
        self._source.start(assigned.source, offset)
        assigned.phase = Phase.LIVE if model is not None else Phase.COLD

    def _commit_start(self, source: TopicPartition, commit: Commit) -> None:
        membership = self._source.membership()
        if membership is None:
            raise Wait("the group has not admitted this member yet")
        try:
            self._sink.publish([], {source: commit}, membership)
        except (PublishAborted, ProducerReplaced) as error:
            raise Wait(f"the start offset could not be committed: {error}") from error

    def _from_empty(
        self, assigned: AssignedPartition, metadata: CommitMetadata, offset: int, model: ServingModel
    ) -> CommitMetadata:
        assigned.state = self._states.empty(assigned, offset)
        assigned.state.adopt(model.versions)
        assigned.model = model
        switch = Switch(offset, model.versions.bundle, model.versions.threshold)
        return metadata.based(Base(EMPTY, offset)).switched(switch)

    # A partition with a history.

    def _restore(self, assigned: AssignedPartition, metadata: CommitMetadata, committed: int, low: int) -> None:
        found = self._states.newest(assigned, metadata)
        if found is None:
            self._rebuild(assigned, metadata, committed, low)
            return
        state, assigned.stored = found
        model = self._feed.model_of(state.versions) if state.versions.bundle else None
        assigned.replay = [switch for switch in metadata.switches if switch.offset >= state.next_offset]
        for switch in assigned.replay:  # all of them must be there before the first record is replayed
            self._feed.model_of(Versions(switch.bundle, switch.threshold))
        if state.next_offset < low:
            log.error("catch_up_gap", partition=assigned.source.partition, missing=low - state.next_offset)
            state.next_offset = low
        self._go(assigned, state, model, metadata, committed)

    def _go(
        self,
        assigned: AssignedPartition,
        state: PartitionState,
        model: ServingModel | None,
        metadata: CommitMetadata,
        target: int,
    ) -> None:
        assigned.state, assigned.model, assigned.metadata, assigned.target = state, model, metadata, target
        assigned.snapshot_offset = state.next_offset
        self._source.start(assigned.source, state.next_offset)
        assigned.phase = Phase.CATCHING_UP
        log.info(
            "restored", topic=assigned.source.topic, partition=assigned.source.partition, entities=len(state.entities),
            snapshot_offset=state.next_offset, committed=target, behind=target - state.next_offset,
        )  # fmt: skip

    def _rebuild(self, assigned: AssignedPartition, metadata: CommitMetadata, committed: int, low: int) -> None:
        """All snapshots are gone: state from a stretch of the log, judged by today's champion."""
        window = self._settings.state.rebuild
        if window <= 0:
            raise StateLost(
                f"{assigned.source.topic}/{assigned.source.partition}: the snapshots that the commit names are gone "
                f"from Redis; state.rebuild: 0 stops here. Set state.rebuild to a duration to build the state from "
                f"the log."
            )
        self._feed.refresh()
        model = self._feed.latest
        if model is None:
            missing = metadata.switches[-1].bundle if metadata.switches else "the champion"
            raise Wait(f"Redis has no snapshots and no champion (the commit names {missing}): import or train one")
        since = self._wall_ms() - int(window * 1000)
        start = min(max(low, self._source.offset_at(assigned.source, since)), committed)
        log.error(
            "state_rebuilt",
            topic=assigned.source.topic,
            partition=assigned.source.partition,
            start=start,
            to=committed,
        )
        self._telemetry.rebuilt += 1
        fresh = CommitMetadata(assigned.topic_id, self._short_spec, metadata.partitions)
        metadata = self._from_empty(assigned, fresh, start, model)
        assert assigned.state is not None
        self._go(assigned, assigned.state, model, metadata, committed)

    def _moved(self, assigned: AssignedPartition, offset: int, low: int) -> None:
        """A commit without our metadata: an operator moved the offset. State follows it back; forward, it goes on."""
        topic, partition = assigned.source
        found = self._states.at_or_below(assigned, offset)
        if found is None:
            log.warning("offset_moved", topic=topic, partition=partition, to=offset, state="starts anew")
            self._begin(assigned, offset)
            return
        state, assigned.stored = found
        newest = self._store.newest_at_or_below(topic, assigned.topic_id, partition, 2**62)
        rewound = newest is not None and newest.offset > offset
        log.warning("offset_moved", topic=topic, partition=partition, to=offset, rewound=rewound)
        model = self._feed.model_of(state.versions)
        metadata = CommitMetadata(assigned.topic_id, self._short_spec, self._source.partitions(topic))
        if not rewound:
            state.next_offset = offset  # the gap is not read: whoever skipped it meant to
            moved = taken(assigned, state, assigned.stored, self._wall_ms()).encoded()
            self._store.put(moved)
            assigned.stored = replace(moved, contents={})
        self._go(assigned, state, model, metadata.based(Base(assigned.stored.id, assigned.stored.offset)), offset)


def _decoded(source: TopicPartition, metadata: str) -> CommitMetadata | None:
    if not metadata:
        return None
    try:
        return CommitMetadata.decode(metadata)
    except ValueError as error:
        log.error("commit_metadata_foreign", topic=source.topic, partition=source.partition, error=str(error))
        return None
