"""Snapshots are written in a thread of their own: Redis never holds up the data path."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from worker.core.partition import PartitionState
from worker.core.trail import Base
from worker.lane import Lane, Lanes, Phase
from worker.ports import Snapshot, SnapshotStore, StoreUnavailable
from worker.streams import TopicPartition
from worker.telemetry import Telemetry

_FIRST_RETRY_S = 0.2
_LAST_RETRY_S = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stored:
    """A snapshot that Redis has: the next commit of the same assignment may name it."""

    source: TopicPartition
    assignment: int
    base: Base


class _Waiting(NamedTuple):
    assignment: int
    snapshot: Snapshot
    named: Sequence[str]


class SnapshotWriter:
    """Holds at most one waiting snapshot a partition; a newer one replaces it, so memory is bounded while Redis is
    down.
    """

    def __init__(self, store: SnapshotStore, telemetry: Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry
        self._waiting: dict[TopicPartition, _Waiting] = {}
        self._stored: deque[Stored] = deque()
        self._wake = threading.Condition()
        self._busy = False
        self._stopping = False
        self._thread = threading.Thread(target=self._write_all, name="snapshots", daemon=True)
        self._thread.start()

    def submit(self, source: TopicPartition, assignment: int, snapshot: Snapshot, named: Sequence[str]) -> None:
        """`named` are the snapshots that the partition's last commit names: retention keeps them."""
        with self._wake:
            self._waiting[source] = _Waiting(assignment, snapshot, named)
            self._wake.notify()

    def stored(self) -> list[Stored]:
        """What has reached Redis since the last call."""
        done = []
        while self._stored:
            done.append(self._stored.popleft())
        return done

    def flush(self, seconds: float) -> None:
        """Wait until nothing is waiting, at most this long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._wake:
                if not self._waiting and not self._busy:
                    return
            time.sleep(0.01)

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(5.0)

    def _write_all(self) -> None:
        pause = _FIRST_RETRY_S
        while True:
            with self._wake:
                while not self._waiting and not self._stopping:
                    self._wake.wait()
                if self._stopping:
                    return
                source, waiting = next(iter(self._waiting.items()))
                snapshot = waiting.snapshot
                del self._waiting[source]
                self._busy = True
            try:
                self._store.put(snapshot)
                self._stored.append(Stored(source, waiting.assignment, Base(snapshot.id, snapshot.offset)))
                self._telemetry.snapshots_written += 1
                self._telemetry.snapshot_bytes += len(snapshot.chunk)
                pause = _FIRST_RETRY_S
                kept = (*waiting.named, snapshot.id)
                self._store.collect(source.topic, source.partition, kept, snapshot.created_ms)
            except StoreUnavailable as error:
                self._telemetry.snapshots_failed += 1
                log.warning("snapshot_failed", topic=source.topic, partition=source.partition, error=str(error))
                with self._wake:
                    self._waiting.setdefault(source, waiting)
                time.sleep(pause)
                pause = min(2 * pause, _LAST_RETRY_S)
            finally:
                self._busy = False


class Snapshots:
    """Takes snapshots of committed state, and lets the next commit name those that Redis has."""

    def __init__(self, writer: SnapshotWriter, every: float) -> None:
        self._writer = writer
        self._every = every

    def take(self, lanes: Lanes, now: float, wall_ms: int, *, every: float | None = None) -> None:
        """Of each live lane whose last one is older than `every` seconds and whose state is wholly committed."""
        for lane in lanes:
            state = lane.state
            if lane.phase is not Phase.LIVE or state is None or lane.trail is None:
                continue
            due = now - lane.snapshot_at >= (self._every if every is None else every)
            if due and state.next_offset == lane.committed[0] != lane.snapshot_offset:
                parent = lane.trail.bases[-1].snapshot
                named = [base.snapshot for base in lane.trail.bases]
                self._writer.submit(lane.source, lane.assignment, snapshot_of(lane, state, parent, wall_ms), named)
                lane.snapshot_offset, lane.snapshot_at = state.next_offset, now

    def name(self, lanes: Lanes) -> None:
        for stored in self._writer.stored():
            lane = lanes.get(stored.source)
            if lane is not None and lane.assignment == stored.assignment and lane.phase is Phase.LIVE:
                assert lane.trail is not None
                lane.trail = lane.trail.based(stored.base)

    def drain(self, lanes: Lanes, now: float, wall_ms: int, seconds: float) -> None:
        """A last snapshot of everything, waited for."""
        self.take(lanes, now, wall_ms, every=0.0)
        self._writer.flush(seconds)
        self.name(lanes)

    def stop(self) -> None:
        self._writer.stop()


def snapshot_of(lane: Lane, state: PartitionState, parent: str | None, created_ms: int) -> Snapshot:
    """The lane's state as a snapshot; to be taken of committed state only."""
    return Snapshot(
        topic=lane.source.topic,
        topic_id=lane.topic_id,
        partition=lane.source.partition,
        offset=state.next_offset,
        parent=parent,
        spec_hash=state.spec.spec_hash,
        bundle=state.versions.bundle,
        threshold=state.versions.threshold,
        chunk=state.encode(),
        created_ms=created_ms,
    )
