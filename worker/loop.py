"""The data path, top to bottom: poll, decode, featurize, score, fold, publish, commit.

`run()` is a loop over `turn()`. Only this thread reads from Kafka and decides what is published. State changes as
records are processed, and counts only once their transaction is known to be committed. Whenever that is in doubt, the
partitions' state is dropped and recovered from the log.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np
import structlog

from worker.collaborators import Collaborators
from worker.core.model.serving_model import Versions
from worker.core.state.commit_metadata import Switch
from worker.core.step import featurize, step
from worker.lifecycle import StopToken
from worker.partitions.assigned import AssignedPartition, Phase, Placed
from worker.ports.log import Commit, Fault, Output, Polled, ProducerReplaced, PublishAborted, Records, TopicPartition

POLL_ROWS = 20_000
PIECE_ROWS = 5_000
"""Rows per step, while the next piece is decoded. Smaller pieces cost more per row; larger ones leave the cache."""
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
        collaborators: Collaborators,
        stop: StopToken,
        monotonic: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._source = collaborators.source
        self._sink = collaborators.sink
        self._decoder = collaborators.decoder
        self._feed = collaborators.feed
        self._recovery = collaborators.recovery
        self._snapshots = collaborators.snapshots
        self._sampler = collaborators.sampler
        self._alerts = collaborators.alerts
        self._scores = collaborators.scores
        self._dead_letters = collaborators.dead_letters
        self._housekeeping = collaborators.housekeeping
        self._telemetry = collaborators.telemetry
        self._stop = stop
        self._monotonic = monotonic
        self._wall_ms = wall_ms
        self._raised_in_a_row = 0
        self.assignment = collaborators.assignment
        self.last_turn = monotonic()

    def run(self) -> None:
        """Turn until told to stop, then drain: publish, snapshot, commit the snapshots' names, leave the group."""
        gc.collect()
        gc.freeze()
        gc.disable()  # housekeeping collects between batches
        try:
            while not self._stop.is_set():
                self.turn()
            self.drain()
        finally:
            gc.enable()
            self._decoder.stop()
            self._snapshots.stop()
            self._source.close()
            self._sink.close()

    def turn(self) -> int:
        """One batch from poll to commit; returns the number of records that it brought."""
        now = self.last_turn = self._monotonic()
        self.assignment.apply_changes(now)
        if self._feed.latest is not None:
            self.assignment.recover_cold(now)
        self._recovery.place(self.assignment, now)
        # Taken before the first record is read: Kafka itself then refuses a batch read under another generation.
        membership = self._source.membership()
        outputs: list[tuple[AssignedPartition, list[Output]]] = []
        count = self._read(outputs, now + BUSY_TURN_S)
        self._snapshots.name_stored(self.assignment)
        self._publish(outputs, membership)
        self._snapshots.take(self.assignment, self._monotonic(), self._wall_ms())
        self._housekeeping.keep(self._monotonic())
        if count:
            elapsed = self._monotonic() - now
            self._telemetry.count_turn(elapsed)
            log.debug("batch", records=count, milliseconds=round(elapsed * 1000, 2))
        return count

    # Poll.

    def _read(self, outputs: list[tuple[AssignedPartition, list[Output]]], until: float) -> int:
        """Poll and process until the log has nothing more at once, or until `until` (monotonic seconds)."""
        count = 0
        polled = self._poll(POLL_WAIT_S)
        while polled is not None:
            count += polled.count
            busy = polled.count >= POLL_ROWS and self._monotonic() < until
            following = self._poll(0.0) if busy else None  # decoded while the current records are scored
            for records in polled.records:
                assigned = self.assignment.get(records.source)
                if assigned is not None and assigned.placed is not None:
                    outputs.append((assigned, self._advance(assigned, assigned.placed, records)))
            self._handle_ends(polled)
            self._handle_faults(polled)
            polled = following
        return count

    def _poll(self, wait: float) -> Polled | None:
        """Polled records, in pieces whose decoding has begun; None if the client raised."""
        polled = self._source.poll(POLL_ROWS, wait, LINGER_S)
        self.assignment.apply_changes(self._monotonic())
        if polled.raised is not None:
            self._handle_raised(polled.raised)
            return None
        self._raised_in_a_row = 0
        polled.records = [piece for records in polled.records for piece in records.pieces(PIECE_ROWS)]
        self._decoder.expect(piece.values for piece in polled.records)
        return polled

    def _handle_raised(self, error: Exception) -> None:
        # The client may have dropped a whole batch that it counts as delivered.
        self._raised_in_a_row += 1
        log.error("consume_raised", error=str(error), effect="recovering every partition")
        if self._raised_in_a_row >= _EXCEPTIONS_IN_A_ROW:
            raise error
        self._recover_all()

    def _handle_ends(self, polled: Polled) -> None:
        for source, end in polled.ends.items():
            assigned = self.assignment.get(source)
            placed = assigned.placed if assigned is not None else None
            if assigned is None or placed is None or placed.phase is not Phase.CATCHING_UP:
                continue
            if end >= placed.target:
                self._go_live(assigned, placed)
            else:  # the log ends before the committed offset: recovery applies the policy for lost offsets
                self.assignment.recover(assigned, self._monotonic())

    def _handle_faults(self, polled: Polled) -> None:
        for source, fault, text in polled.faults:
            assigned = self.assignment.get(source)
            if assigned is None or assigned.placed is None:
                continue
            log.warning("partition_fault", **source._asdict(), fault=fault.value, error=text)
            if fault is not Fault.OTHER:
                self.assignment.recover(assigned, self._monotonic())

    # Records of one partition, cut where versions switch and where catch-up ends.

    def _advance(self, assigned: AssignedPartition, placed: Placed, records: Records) -> list[Output]:
        if placed.phase is Phase.COLD:
            self._sample(assigned, placed, records)
            return []
        outputs: list[Output] = []
        start = int(np.searchsorted(records.offsets, placed.state.next_offset))
        while start < len(records):
            stop = len(records)
            first = int(records.offsets[start])
            if placed.phase is Phase.CATCHING_UP and first >= placed.target:
                self._go_live(assigned, placed)
            self._switch(assigned.source, placed, first)
            if placed.phase is Phase.CATCHING_UP:
                limit = min([placed.target, *(switch.offset for switch in placed.switches[:1])])
                stop = int(np.searchsorted(records.offsets, limit))
            outputs += self._process(placed, records.slice(start, stop))
            start = stop
        return outputs

    def _switch(self, source: TopicPartition, placed: Placed, first: int) -> None:
        """Versions change between records: as recorded while catching up, to the champion while live."""
        while placed.switches and placed.switches[0].offset <= first:
            switch = placed.switches.pop(0)
            placed.model = self._feed.model_of(Versions(switch.bundle, switch.threshold))
            placed.state.adopt(placed.model.versions)
        champion = self._feed.latest
        if placed.phase is not Phase.LIVE or champion is None or champion.versions == placed.state.versions:
            return
        if placed.metadata.full:
            return  # no room to record the switch: the next snapshot makes some
        versions, offset = champion.versions, placed.state.next_offset
        placed.metadata = placed.metadata.with_switch(Switch(offset, versions.bundle, versions.threshold))
        placed.model = champion
        placed.state.adopt(versions)
        self._telemetry.count_switch(champion)
        version = champion.version
        log.info("switched", **source._asdict(), version=version, threshold=versions.threshold, offset=offset)

    def _process(self, placed: Placed, records: Records) -> list[Output]:
        """The step of one piece; its outputs if the partition is live."""
        assert placed.model is not None  # only a cold partition has none, and catch-up begins with a switch
        decoded = self._decoder.decode(records.values)
        made = step(placed.state, placed.model, decoded, records.offsets, records.timestamps, records.key)
        if placed.phase is not Phase.LIVE:
            self._telemetry.count_catch_up(len(records))
            return []
        self._telemetry.count_step(len(records), decoded, made)
        outputs = self._scores.outputs(records.source, placed.model, made) if self._scores is not None else []
        outputs += self._alerts.outputs(placed.topic_id, records, placed.model, made)
        outputs += self._dead_letters.outputs(records, decoded.rejects)
        self._dead_letters.check(len(records), len(decoded.rejects))
        return outputs

    def _go_live(self, assigned: AssignedPartition, placed: Placed) -> None:
        placed.state.next_offset = max(placed.state.next_offset, placed.target)
        self._switch(assigned.source, placed, placed.target)
        placed.phase = Phase.LIVE
        seconds = self._monotonic() - assigned.recovering_since
        self._telemetry.count_live(seconds)
        log.info("live", **assigned.source._asdict(), offset=placed.state.next_offset, seconds=round(seconds, 3))

    def _sample(self, assigned: AssignedPartition, placed: Placed, records: Records) -> None:
        decoded = self._decoder.decode(records.values)
        featurized = featurize(placed.state, decoded, records.offsets, records.timestamps, records.key)
        if not self._sampler.take(placed, records, featurized.columns):
            self.assignment.recover(assigned, self._monotonic())  # Redis did not take it: read it again later
        elif self._sampler.full(placed):
            self._source.hold(assigned.source)

    # Publish and commit.

    def _publish(self, outputs: list[tuple[AssignedPartition, list[Output]]], membership: object | None) -> None:
        for attempt in range(2):
            # Outputs of a partition that is no longer held are dropped: its next owner reads the records again.
            held = [output for assigned, made in outputs if self.assignment.publishes(assigned) for output in made]
            commits = self._due_commits()
            if not held and not commits:
                return
            if membership is None:
                break
            try:
                self._sink.publish(held, commits, membership)
            except PublishAborted as error:
                self._telemetry.count_abort()
                log.info("publish_aborted", error=str(error), attempt=attempt + 1)
                membership = self._source.membership()
            except ProducerReplaced as error:
                self._telemetry.count_replaced_producer()
                log.warning("producer_replaced", error=str(error))
                break
            else:
                self._mark_committed(commits)
                self._telemetry.count_commit(held)
                return
        self._recover_all()

    def _due_commits(self) -> dict[TopicPartition, Commit]:
        placed = [(assigned.source, assigned.placed) for assigned in self.assignment if assigned.placed is not None]
        return {source: commit for source, one in placed if (commit := one.commit()) is not None}

    def _mark_committed(self, commits: dict[TopicPartition, Commit]) -> None:
        for assigned in self.assignment:
            if assigned.source in commits and assigned.placed is not None:
                assigned.placed.committed = commits[assigned.source]

    def _recover_all(self) -> None:
        self._telemetry.count_recovery()
        self.assignment.recover_all(self._monotonic())

    def drain(self) -> None:
        """Leave nothing to replay: what is processed is committed, snapshotted, and the snapshot named."""
        self.assignment.apply_changes(self._monotonic())
        self._snapshots.drain(self.assignment, self._monotonic(), self._wall_ms(), DRAIN_S)
        self._publish([], self._source.membership())
        log.info("drained", partitions=len(self.assignment))
