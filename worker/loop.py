"""The data path, top to bottom: poll, decode, featurize, reconstruct, score, judge, alert, publish, commit.

`run()` is a loop over `turn()`. Only this thread touches Kafka. State changes as records are processed and counts
only once their transaction is known to be committed; whenever that is in doubt the lanes are forgotten and recovered
from the log.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np
import structlog

from worker.core.events.decode import Decoded
from worker.core.events.event_clock import EventTimes, event_times
from worker.core.state.commit_metadata import Switch
from worker.core.state.entities import Observed
from worker.core.state.partition_state import Judged, Versions
from worker.lifecycle import StopToken
from worker.naming import entities_of
from worker.partitions.assigned import Lane, Phase
from worker.parts import Parts
from worker.ports.log import (
    Commit,
    Fault,
    Output,
    Polled,
    ProducerReplaced,
    PublishAborted,
    Records,
    TopicPartition,
)

POLL_ROWS = 20_000
PIECE_ROWS = 5_000
"""Judged at once, while the next is decoded: fewer rows cost more each, as much more would no longer fit the cache."""
POLL_WAIT_S = 0.2
LINGER_S = 0.01
BUSY_TURN_S = 0.8
DRAIN_S = 10.0
_EXCEPTIONS_IN_A_ROW = 20

log = structlog.get_logger()


class Worker:
    """One member of the consumer group."""

    def __init__(
        self,
        parts: Parts,
        stop: StopToken,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._parts = parts
        self._stop = stop
        self._monotonic = monotonic
        self._wall_ms = wall_ms
        self._raised_in_a_row = 0
        self.lanes = parts.lanes
        self.last_turn = monotonic()

    def run(self) -> None:
        """Turn until told to stop, then drain: publish, snapshot, commit the snapshots' names, leave the group."""
        gc.collect()
        gc.freeze()
        gc.disable()  # collections happen between batches, by housekeeping
        try:
            while not self._stop.is_set():
                self.turn()
            self.drain()
        finally:
            gc.enable()
            self._parts.decoder.stop()
            self._parts.snapshots.stop()
            self._parts.source.close()
            self._parts.sink.close()

    def turn(self) -> int:
        """One batch from poll to commit; returns how many records it brought."""
        now = self.last_turn = self._monotonic()
        self.lanes.follow(now)
        if self._parts.feed.latest is not None:
            self.lanes.wake_cold(now)
        self._parts.recovery.place(self.lanes, now)
        # Taken before the first record is read: Kafka itself then refuses a batch read under another generation.
        membership = self._parts.source.membership()
        outputs: list[tuple[Lane, list[Output]]] = []
        count = self._read(outputs, now + BUSY_TURN_S)
        self._parts.snapshots.name(self.lanes)
        self._publish(outputs, membership)
        self._parts.snapshots.take(self.lanes, self._monotonic(), self._wall_ms())
        self._parts.housekeeping.keep(self._monotonic())
        telemetry = self._parts.telemetry
        if count:
            elapsed = self._monotonic() - now
            telemetry.turn(count, elapsed)
            log.debug("batch", records=count, milliseconds=round(elapsed * 1000, 2))
        return count

    # Poll.

    def _read(self, outputs: list[tuple[Lane, list[Output]]], until: float) -> int:
        count = 0
        polled = self._poll(POLL_WAIT_S)
        while polled is not None:
            count += polled.count
            busy = polled.count >= POLL_ROWS and self._monotonic() < until
            following = self._poll(0.0) if busy else None  # decoded while what came before is judged
            for records in polled.records:
                lane = self.lanes.get(records.source)
                if lane is not None:
                    outputs.append((lane, self._advance(lane, records)))
            self._ends_and_faults(polled)
            polled = following
        return count

    def _poll(self, wait: float) -> Polled | None:
        """What came, in pieces whose decoding has begun; None where the client failed."""
        polled = self._parts.source.poll(POLL_ROWS, wait, LINGER_S)
        self.lanes.follow(self._monotonic())
        if polled.raised is not None:
            self._raised(polled.raised)
            return None
        self._raised_in_a_row = 0
        polled.records = [piece for records in polled.records for piece in records.pieces(PIECE_ROWS)]
        self._parts.decoder.expect(piece.values for piece in polled.records)
        return polled

    def _raised(self, error: Exception) -> None:
        # The client may have dropped a whole batch that it counts as delivered.
        self._raised_in_a_row += 1
        log.error("consume_raised", error=str(error), effect="recovering every partition")
        if self._raised_in_a_row >= _EXCEPTIONS_IN_A_ROW:
            raise error
        self._recover_all()

    def _ends_and_faults(self, polled: Polled) -> None:
        for source, end in polled.ends.items():
            lane = self.lanes.get(source)
            if lane is None or lane.phase is not Phase.CATCHING_UP:
                continue
            if end >= lane.target:
                self._caught_up(lane)
            else:  # the log ends before what was committed: recovery says so, by the policy for lost offsets
                self.lanes.forget(lane, self._monotonic())
        for source, fault, text in polled.faults:
            lane = self.lanes.get(source)
            if lane is not None and lane.phase is not Phase.RECOVERING:
                log.warning("partition_fault", topic=source.topic, partition=source.partition, fault=fault.value,
                            error=text)  # fmt: skip
                if fault is not Fault.OTHER:
                    self.lanes.forget(lane, self._monotonic())

    # Records of one partition, cut where versions switch and where catch-up ends.

    def _advance(self, lane: Lane, records: Records) -> list[Output]:
        if lane.phase is Phase.COLD:
            self._sample(lane, records)
        if lane.state is None or lane.phase not in (Phase.LIVE, Phase.CATCHING_UP):
            return []  # stragglers from before the lane was placed
        outputs: list[Output] = []
        start = int(np.searchsorted(records.offsets, lane.state.next_offset))
        while start < len(records):
            stop = len(records)
            first = int(records.offsets[start])
            if lane.phase is Phase.CATCHING_UP and first >= lane.target:
                self._caught_up(lane)
            self._switch(lane, first)
            if lane.phase is Phase.CATCHING_UP:
                limit = min([lane.target, *(switch.offset for switch in lane.replay[:1])])
                stop = int(np.searchsorted(records.offsets, limit))
            outputs += self._judge(lane, records.part(start, stop))
            start = stop
        return outputs

    def _switch(self, lane: Lane, first: int) -> None:
        """Versions change between records: as recorded while catching up, to the champion while live."""
        assert lane.state is not None and lane.trail is not None
        while lane.replay and lane.replay[0].offset <= first:
            switch = lane.replay.pop(0)
            lane.pair = self._parts.feed.named(Versions(switch.bundle, switch.threshold))
            lane.state.adopt(lane.pair.versions)
        champion = self._parts.feed.latest
        if lane.phase is not Phase.LIVE or champion is None or champion.versions == lane.state.versions:
            return
        if lane.trail.full:
            return  # no room to record it: the next snapshot makes some
        versions = champion.versions
        lane.trail = lane.trail.switched(Switch(lane.state.next_offset, versions.bundle, versions.threshold))
        lane.pair = champion
        lane.state.adopt(versions)
        self._parts.telemetry.swapped(champion)
        log.info("switched", topic=lane.source.topic, partition=lane.source.partition, version=champion.version,
                 threshold=versions.threshold, offset=lane.state.next_offset)  # fmt: skip

    def _featurized(self, lane: Lane, records: Records) -> tuple[Decoded, EventTimes, Observed]:
        """Decoded, placed in time, and with what the state knows of each event's entity."""
        state = lane.state
        assert state is not None
        decoded = self._parts.decoder.decode(records.values)
        times = event_times(decoded.times, records.timestamps[decoded.index], state.clock_ms)
        offsets = records.offsets[decoded.index]
        observed = state.observe(decoded.columns, lambda: entities_of(records, decoded), times, offsets)
        if len(offsets):
            state.clock_ms = int(times.clock[-1])
        return decoded, times, observed

    def _judge(self, lane: Lane, records: Records) -> list[Output]:
        state, pair, telemetry = lane.state, lane.pair, self._parts.telemetry
        assert state is not None and pair is not None
        decoded, times, observed = self._featurized(lane, records)
        encoded = pair.detector.encoder.transform(observed.columns)
        found = pair.detector.judge(encoded)
        errors = found.errors
        rows = Judged(
            offsets=records.offsets[decoded.index],
            times=times,
            columns=observed.columns,
            errors=errors,
            p_buckets=pair.threshold.p_buckets(errors),
            flagged=pair.threshold.flagged(errors),
            trainable=errors < pair.training_cut,
        )
        state.fold(rows)
        outputs = self._parts.publisher.outputs(lane, records, decoded, rows, found)
        state.next_offset = int(records.offsets[-1]) + 1
        if lane.phase is not Phase.LIVE:
            telemetry.catch_up_records += len(records)
            return []
        telemetry.judged(len(records), rows, encoded, decoded)
        telemetry.entities_evicted += observed.evicted
        telemetry.late_times += observed.late
        outputs += self._parts.dead_letters.outputs(records, decoded.rejects)
        self._parts.dead_letters.check(len(records), len(decoded.rejects))
        return outputs

    def _caught_up(self, lane: Lane) -> None:
        assert lane.state is not None
        lane.state.next_offset = max(lane.state.next_offset, lane.target)
        self._switch(lane, lane.target)
        lane.phase = Phase.LIVE
        seconds = self._monotonic() - lane.recovering_since
        self._parts.telemetry.blind_seconds += seconds
        log.info("live", topic=lane.source.topic, partition=lane.source.partition, offset=lane.state.next_offset,
                 seconds=round(seconds, 3))  # fmt: skip

    def _sample(self, lane: Lane, records: Records) -> None:
        if not self._parts.sampler.take(lane, records, self._featurized(lane, records)[2].columns):
            self.lanes.forget(lane, self._monotonic())  # Redis did not take it: read it again later
        elif self._parts.sampler.full(lane):
            self._parts.source.hold(lane.source)

    # Publish and commit.

    def _publish(self, outputs: list[tuple[Lane, list[Output]]], membership: object | None) -> None:
        for attempt in range(2):
            # Outputs of what is no longer held under the same assignment are dropped: its next owner reads it again.
            held = [output for lane, made in outputs if self.lanes.holds(lane) for output in made]
            commits = {lane.source: commit for lane in self.lanes if (commit := lane.commit()) is not None}
            if not held and not commits:
                return
            if membership is None:
                break
            try:
                self._parts.sink.publish(held, commits, membership)
            except PublishAborted as error:
                self._parts.telemetry.transactions_aborted += 1
                log.info("publish_aborted", error=str(error), attempt=attempt + 1)
                membership = self._parts.source.membership()
            except ProducerReplaced as error:
                self._parts.telemetry.producers_replaced += 1
                log.warning("producer_replaced", error=str(error))
                break
            else:
                self._committed(commits, held)
                return
        self._recover_all()

    def _recover_all(self) -> None:
        self._parts.telemetry.recoveries += 1
        self.lanes.forget_all(self._monotonic())

    def _committed(self, commits: dict[TopicPartition, Commit], published: list[Output]) -> None:
        for lane in self.lanes:
            if lane.source in commits:
                lane.committed = (commits[lane.source].offset, commits[lane.source].metadata)
        self._parts.telemetry.transactions_committed += 1
        self._parts.telemetry.published(published)

    def drain(self) -> None:
        """Leave nothing to replay: what is processed is committed, snapshotted, and the snapshot named."""
        self.lanes.follow(self._monotonic())
        self._parts.snapshots.drain(self.lanes, self._monotonic(), self._wall_ms(), DRAIN_S)
        self._publish([], self._parts.source.membership())
        log.info("drained", partitions=len(self.lanes))
