"""The one recovery path: start, restart, reassignment and error all come through here.

Read the committed offset, let its metadata name the snapshot and the versions, restore, and hand the lane back to the
loop in CATCHING_UP, LIVE or COLD. Nothing here is guessed: what cannot be answered now is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog

from worker.config.settings import Settings
from worker.core.state.commit_metadata import EMPTY, Base, Switch, Trail
from worker.core.state.partition_state import PartitionState, Versions
from worker.errors import BundleRefused, StateLost
from worker.partitions.assigned import Lane, Phase
from worker.partitions.restore import StoredStates
from worker.partitions.serving import Pair, VersionFeed
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
    """Not yet: what the lane waits for, to be asked again."""


class Recovery:
    """Places recovering lanes, one pass at a time."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        store: SnapshotStore,
        feed: VersionFeed,
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
        self._states = StoredStates(settings, store)

    def place(self, lanes: Iterable[Lane], now: float) -> None:
        """One pass over the recovering lanes that are due; `now` in monotonic seconds."""
        due = [lane for lane in lanes if lane.phase is Phase.RECOVERING and now >= lane.retry_at]
        if not due:
            return
        try:
            answers = self._source.committed([lane.source for lane in due])
        except LogUnavailable as error:
            for lane in due:
                lane.wait(now + WAIT_RETRY_S, str(error))
            return
        for lane in due:
            try:
                answer = answers.get(lane.source)
                if answer is None:
                    self._pending(lane, now)
                else:
                    self._place(lane, answer)
                    lane.waiting_for = ""
                    if lane.pair is not None:
                        self._telemetry.serves(lane.pair)
            except Wait as wait:
                lane.wait(now + WAIT_RETRY_S, str(wait))
            except (StoreUnavailable, MissingPart, BundleRefused, LogUnavailable) as error:
                lane.wait(now + WAIT_RETRY_S, f"{type(error).__name__}: {error}")

    def _pending(self, lane: Lane, now: float) -> None:
        text = "a transaction is pending on this partition"
        if now - lane.recovering_since > HANGING_S:
            text = (
                f"hanging transaction: the group's offset has been pending for more than {HANGING_S:.0f} s; find it "
                f"with `kafka-transactions.sh find-hanging` and end it with `kafka-transactions.sh abort`"
            )
        lane.wait(now + PENDING_RETRY_S, text)

    def _place(self, lane: Lane, committed: Committed) -> None:
        topic, partition = lane.source
        lane.topic_id = self._source.topic_id(topic)
        low, high = self._source.bounds(lane.source)
        lane.low = low
        offset = committed.offset
        trail = _decoded(lane.source, committed.metadata)
        if offset is None:
            self._first_start(lane, committed, low, high)
        elif trail is not None and trail.topic_id != lane.topic_id:
            log.warning("topic_recreated", topic=topic, partition=partition, was=trail.topic_id, now=lane.topic_id)
            self._begin(lane, low)
        elif not low <= offset <= high:
            self._lost(lane, committed, low, f"the committed offset {offset} is outside the log ({low} to {high})")
        elif trail is None:
            self._moved(lane, offset, low)
        elif trail.cold:
            self._begin(lane, offset)
        elif trail.spec != self._short_spec:
            log.warning("feature_spec_changed", topic=topic, partition=partition, effect="state starts anew")
            self._begin(lane, offset)
        else:
            self._restore(lane, trail, offset, low)
            lane.committed = (offset, committed.metadata)

    # Where a partition without a committed offset begins.

    def _first_start(self, lane: Lane, committed: Committed, low: int, high: int) -> None:
        topic, partition = lane.source
        kept = self._store.newest_at_or_below(topic, lane.topic_id, partition, high)
        if kept is not None:
            why = f"the group's offset is gone, though state up to offset {kept.offset} is kept"
            self._lost(lane, committed, low, why)
            return
        start = self._settings.kafka.start
        count = self._source.partitions(topic)
        others = self._source.committed([TopicPartition(topic, i) for i in range(count)])
        known = [_decoded(source, answer.metadata) for source, answer in others.items() if answer is not None]
        before = min((trail.partitions for trail in known if trail is not None), default=count)
        if start == "earliest" or partition >= before:  # a partition that was added later begins at its start
            offset = low
        elif start == "latest":
            offset = high
        else:
            offset = self._source.offset_at(lane.source, int(start.timestamp() * 1000))
        log.info("first_start", topic=topic, partition=partition, offset=offset)
        self._begin(lane, offset)

    def _lost(self, lane: Lane, committed: Committed, low: int, why: str) -> None:
        topic, partition = lane.source
        if self._source.committed([lane.source])[lane.source] != committed:
            # This process stood still after it had asked, and another owner has gone on meanwhile.
            raise Wait("the group's offset has moved on since it was read")
        if self._settings.kafka.offset_lost == "stop":
            raise StateLost(
                f"{topic}/{partition}: {why}; kafka.offset_lost: stop. Records may never have been scored. "
                f"Set kafka.offset_lost: earliest to go on at {low}, or reset the group's offset."
            )
        log.error("offset_lost", topic=topic, partition=partition, reason=why, goes_on_at=low)
        self._telemetry.offsets_lost += 1
        self._begin(lane, low)

    def _begin(self, lane: Lane, offset: int) -> None:
        """An empty state at `offset`: live under the champion, cold without one. Committed before the first read."""
        trail = Trail(lane.topic_id, self._short_spec, self._source.partitions(lane.source.topic))
        self._feed.refresh()
        pair = self._feed.latest
        if pair is not None:
            trail = self._from_empty(lane, trail, offset, pair)
        self._commit_start(lane.source, Commit(offset, trail.encode()))
        lane.committed = (offset, trail.encode())
        lane.trail = trail
        lane.sampled_rows = 0
        if pair is None:
            lane.state = self._states.empty(lane, offset)
        self._source.start(lane.source, offset)
        lane.phase = Phase.LIVE if pair is not None else Phase.COLD

    def _commit_start(self, source: TopicPartition, commit: Commit) -> None:
        membership = self._source.membership()
        if membership is None:
            raise Wait("the group has not admitted this member yet")
        try:
            self._sink.publish([], {source: commit}, membership)
        except (PublishAborted, ProducerReplaced) as error:
            raise Wait(f"the start offset could not be committed: {error}") from error

    def _from_empty(self, lane: Lane, trail: Trail, offset: int, pair: Pair) -> Trail:
        lane.state = self._states.empty(lane, offset)
        lane.state.adopt(pair.versions)
        lane.pair = pair
        switch = Switch(offset, pair.versions.bundle, pair.versions.threshold)
        return trail.based(Base(EMPTY, offset)).switched(switch)

    # A partition with a history.

    def _restore(self, lane: Lane, trail: Trail, committed: int, low: int) -> None:
        found = self._states.newest(lane, trail)
        if found is None:
            self._rebuild(lane, trail, committed, low)
            return
        state, lane.stored = found
        pair = self._feed.named(state.versions) if state.versions.bundle else None
        lane.replay = [switch for switch in trail.switches if switch.offset >= state.next_offset]
        for switch in lane.replay:  # all of them must be there before the first record is replayed
            self._feed.named(Versions(switch.bundle, switch.threshold))
        if state.next_offset < low:
            log.error("catch_up_gap", partition=lane.source.partition, missing=low - state.next_offset)
            state.next_offset = low
        self._go(lane, state, pair, trail, committed)

    def _go(self, lane: Lane, state: PartitionState, pair: Pair | None, trail: Trail, target: int) -> None:
        lane.state, lane.pair, lane.trail, lane.target = state, pair, trail, target
        lane.snapshot_offset = state.next_offset
        self._source.start(lane.source, state.next_offset)
        lane.phase = Phase.CATCHING_UP
        log.info(
            "restored", topic=lane.source.topic, partition=lane.source.partition, entities=len(state.entities),
            snapshot_offset=state.next_offset, committed=target, behind=target - state.next_offset,
        )  # fmt: skip

    def _rebuild(self, lane: Lane, trail: Trail, committed: int, low: int) -> None:
        """All snapshots are gone: state from a stretch of the log, judged by today's champion."""
        window = self._settings.state.rebuild
        if window <= 0:
            raise StateLost(
                f"{lane.source.topic}/{lane.source.partition}: the snapshots that the commit names are gone from "
                f"Redis; state.rebuild: 0 stops here. Set state.rebuild to a duration to build the state from the log."
            )
        self._feed.refresh()
        pair = self._feed.latest
        if pair is None:
            missing = trail.switches[-1].bundle if trail.switches else "the champion"
            raise Wait(f"Redis has no snapshots and no champion (the commit names {missing}): import or train one")
        since = self._wall_ms() - int(window * 1000)
        start = min(max(low, self._source.offset_at(lane.source, since)), committed)
        log.error(
            "state_rebuilt",
            topic=lane.source.topic,
            partition=lane.source.partition,
            start=start,
            to=committed,
        )
        self._telemetry.rebuilt += 1
        fresh = Trail(lane.topic_id, self._short_spec, trail.partitions)
        trail = self._from_empty(lane, fresh, start, pair)
        assert lane.state is not None
        self._go(lane, lane.state, pair, trail, committed)

    def _moved(self, lane: Lane, offset: int, low: int) -> None:
        """A commit without our metadata: an operator moved the offset. State follows it back; forward, it goes on."""
        topic, partition = lane.source
        found = self._states.at_or_below(lane, offset)
        if found is None:
            log.warning("offset_moved", topic=topic, partition=partition, to=offset, state="starts anew")
            self._begin(lane, offset)
            return
        state, lane.stored = found
        newest = self._store.newest_at_or_below(topic, lane.topic_id, partition, 2**62)
        rewound = newest is not None and newest.offset > offset
        log.warning("offset_moved", topic=topic, partition=partition, to=offset, rewound=rewound)
        pair = self._feed.named(state.versions)
        trail = Trail(lane.topic_id, self._short_spec, self._source.partitions(topic))
        if not rewound:
            state.next_offset = offset  # the gap is not read: whoever skipped it meant to
            moved = taken(lane, state, lane.stored, self._wall_ms()).encoded()
            self._store.put(moved)
            lane.stored = replace(moved, contents={})
        self._go(lane, state, pair, trail.based(Base(lane.stored.id, lane.stored.offset)), offset)


def _decoded(source: TopicPartition, metadata: str) -> Trail | None:
    if not metadata:
        return None
    try:
        return Trail.decode(metadata)
    except ValueError as error:
        log.error("commit_metadata_foreign", topic=source.topic, partition=source.partition, error=str(error))
        return None
