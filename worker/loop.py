"""The data path, top to bottom: poll, decode, featurize, reconstruct, score, judge, alert, publish, commit.

`run()` is a loop over `turn()`. Only this thread touches Kafka. State changes as records are processed and counts
only once their transaction is known to be committed. Whenever that is in doubt, the partitions' state is dropped and
recovered from the log.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np
import structlog

from worker.core.events.decode import Decoded
from worker.core.events.event_time import EventTimes, event_times
from worker.core.state.commit_metadata import Switch
from worker.core.state.entities import ObservedColumns
from worker.core.state.partition_state import ScoredRows, Versions
from worker.lifecycle import StopToken
from worker.partitions.assigned import AssignedPartition, Phase
from worker.parts import Parts
from worker.ports.log import Commit, Fault, Output, Polled, ProducerReplaced, PublishAborted, Records, TopicPartition

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
        self.assignment = parts.assignment
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
        self.assignment.follow(now)
        if self._parts.feed.latest is not None:
            self.assignment.wake_cold(now)
        self._parts.recovery.place(self.assignment, now)
        # Taken before the first record is read: Kafka itself then refuses a batch read under another generation.
        membership = self._parts.source.membership()
        outputs: list[tuple[AssignedPartition, list[Output]]] = []
        count = self._read(outputs, now + BUSY_TURN_S)
        self._parts.snapshots.name(self.assignment)
        self._publish(outputs, membership)
        self._parts.snapshots.take(self.assignment, self._monotonic(), self._wall_ms())
        self._parts.housekeeping.keep(self._monotonic())
        telemetry = self._parts.telemetry
        if count:
            elapsed = self._monotonic() - now
            telemetry.turn(count, elapsed)
            log.debug("batch", records=count, milliseconds=round(elapsed * 1000, 2))
        return count

    # Poll.

    def _read(self, outputs: list[tuple[AssignedPartition, list[Output]]], until: float) -> int:
        count = 0
        polled = self._poll(POLL_WAIT_S)
        while polled is not None:
            count += polled.count
            busy = polled.count >= POLL_ROWS and self._monotonic() < until
            following = self._poll(0.0) if busy else None  # decoded while what came before is judged
            for records in polled.records:
                assigned = self.assignment.get(records.source)
                if assigned is not None:
                    outputs.append((assigned, self._advance(assigned, records)))
            self._ends_and_faults(polled)
            polled = following
        return count

    def _poll(self, wait: float) -> Polled | None:
        """What came, in pieces whose decoding has begun; None where the client failed."""
        polled = self._parts.source.poll(POLL_ROWS, wait, LINGER_S)
        self.assignment.follow(self._monotonic())
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
            assigned = self.assignment.get(source)
            if assigned is None or assigned.phase is not Phase.CATCHING_UP:
                continue
            if end >= assigned.target:
                self._caught_up(assigned)
            else:  # the log ends before what was committed: recovery says so, by the policy for lost offsets
                self.assignment.forget(assigned, self._monotonic())
        for source, fault, text in polled.faults:
            assigned = self.assignment.get(source)
            if assigned is not None and assigned.phase is not Phase.RECOVERING:
                log.warning("partition_fault", topic=source.topic, partition=source.partition, fault=fault.value,
                            error=text)  # fmt: skip
                if fault is not Fault.OTHER:
                    self.assignment.forget(assigned, self._monotonic())

    # Records of one partition, cut where versions switch and where catch-up ends.

    def _advance(self, assigned: AssignedPartition, records: Records) -> list[Output]:
        if assigned.phase is Phase.COLD:
            self._sample(assigned, records)
        if assigned.state is None or assigned.phase not in (Phase.LIVE, Phase.CATCHING_UP):
            return []  # stragglers from before the partition was placed
        outputs: list[Output] = []
        start = int(np.searchsorted(records.offsets, assigned.state.next_offset))
        while start < len(records):
            stop = len(records)
            first = int(records.offsets[start])
            if assigned.phase is Phase.CATCHING_UP and first >= assigned.target:
                self._caught_up(assigned)
            self._switch(assigned, first)
            if assigned.phase is Phase.CATCHING_UP:
                limit = min([assigned.target, *(switch.offset for switch in assigned.replay[:1])])
                stop = int(np.searchsorted(records.offsets, limit))
            outputs += self._judge(assigned, records.part(start, stop))
            start = stop
        return outputs

    def _switch(self, assigned: AssignedPartition, first: int) -> None:
        """Versions change between records: as recorded while catching up, to the champion while live."""
        assert assigned.state is not None and assigned.metadata is not None
        while assigned.replay and assigned.replay[0].offset <= first:
            switch = assigned.replay.pop(0)
            assigned.model = self._parts.feed.model_of(Versions(switch.bundle, switch.threshold))
            assigned.state.adopt(assigned.model.versions)
        champion = self._parts.feed.latest
        if assigned.phase is not Phase.LIVE or champion is None or champion.versions == assigned.state.versions:
            return
        if assigned.metadata.full:
            return  # no room to record it: the next snapshot makes some
        versions = champion.versions
        assigned.metadata = assigned.metadata.switched(
            Switch(assigned.state.next_offset, versions.bundle, versions.threshold)
        )
        assigned.model = champion
        assigned.state.adopt(versions)
        self._parts.telemetry.swapped(champion)
        log.info("switched", topic=assigned.source.topic, partition=assigned.source.partition, version=champion.version,
                 threshold=versions.threshold, offset=assigned.state.next_offset)  # fmt: skip

    def _featurized(self, assigned: AssignedPartition, records: Records) -> tuple[Decoded, EventTimes, ObservedColumns]:
        """Decoded, placed in time, and with what the state knows of each event's entity."""
        state = assigned.state
        assert state is not None
        decoded = self._parts.decoder.decode(records.values)
        times = event_times(decoded.times, records.timestamps[decoded.index], state.clock_ms)
        offsets = records.offsets[decoded.index]
        observed = state.observe(decoded.columns, lambda: decoded.entities(records.key), times, offsets)
        if len(offsets):
            state.clock_ms = int(times.clock[-1])
        return decoded, times, observed

    def _judge(self, assigned: AssignedPartition, records: Records) -> list[Output]:
        state, model, telemetry = assigned.state, assigned.model, self._parts.telemetry
        assert state is not None and model is not None
        decoded, times, observed = self._featurized(assigned, records)
        encoded = model.detector.encoder.transform(observed.columns)
        found = model.detector.score(encoded)
        errors = found.errors
        rows = ScoredRows(
            offsets=records.offsets[decoded.index],
            times=times,
            columns=observed.columns,
            errors=errors,
            p_buckets=model.threshold.p_buckets(errors),
            flagged=model.threshold.flagged(errors),
            trainable=errors < model.training_cut,
        )
        state.fold(rows)
        outputs = self._parts.publisher.outputs(assigned, records, decoded, rows, found)
        state.next_offset = int(records.offsets[-1]) + 1
        if assigned.phase is not Phase.LIVE:
            telemetry.catch_up_records += len(records)
            return []
        telemetry.judged(len(records), rows, encoded, decoded)
        telemetry.entities_evicted += observed.evicted
        telemetry.late_times += observed.late
        outputs += self._parts.dead_letters.outputs(records, decoded.rejects)
        self._parts.dead_letters.check(len(records), len(decoded.rejects))
        return outputs

    def _caught_up(self, assigned: AssignedPartition) -> None:
        assert assigned.state is not None
        assigned.state.next_offset = max(assigned.state.next_offset, assigned.target)
        self._switch(assigned, assigned.target)
        assigned.phase = Phase.LIVE
        seconds = self._monotonic() - assigned.recovering_since
        self._parts.telemetry.blind_seconds += seconds
        topic, partition = assigned.source
        log.info("live", topic=topic, partition=partition, offset=assigned.state.next_offset, seconds=round(seconds, 3))

    def _sample(self, assigned: AssignedPartition, records: Records) -> None:
        if not self._parts.sampler.take(assigned, records, self._featurized(assigned, records)[2].columns):
            self.assignment.forget(assigned, self._monotonic())  # Redis did not take it: read it again later
        elif self._parts.sampler.full(assigned):
            self._parts.source.hold(assigned.source)

    # Publish and commit.

    def _publish(self, outputs: list[tuple[AssignedPartition, list[Output]]], membership: object | None) -> None:
        for attempt in range(2):
            # Outputs of what is no longer held under the same assignment are dropped: its next owner reads it again.
            held = [output for assigned, made in outputs if self.assignment.holds(assigned) for output in made]
            commits = {
                assigned.source: commit for assigned in self.assignment if (commit := assigned.commit()) is not None
            }
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
        self.assignment.forget_all(self._monotonic())

    def _committed(self, commits: dict[TopicPartition, Commit], published: list[Output]) -> None:
        for assigned in self.assignment:
            if assigned.source in commits:
                assigned.committed = (commits[assigned.source].offset, commits[assigned.source].metadata)
        self._parts.telemetry.transactions_committed += 1
        self._parts.telemetry.published(published)

    def drain(self) -> None:
        """Leave nothing to replay: what is processed is committed, snapshotted, and the snapshot named."""
        self.assignment.follow(self._monotonic())
        self._parts.snapshots.drain(self.assignment, self._monotonic(), self._wall_ms(), DRAIN_S)
        self._publish([], self._parts.source.membership())
        log.info("drained", partitions=len(self.assignment))
