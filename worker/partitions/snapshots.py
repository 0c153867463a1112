"""When to snapshot: committed state only, copied by the loop, encoded and written by a thread of their own.

Redis never holds up the data path. The next commit of the same assignment names a snapshot that has reached Redis. Old
snapshots are deleted once a confirmed commit names a newer one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.core.state.capture import capture_state
from worker.core.state.commit_metadata import Base
from worker.core.state.retention import retain
from worker.core.state.snapshot import Ancestor, Snapshot
from worker.partitions.assigned import AssignedPartition, Assignment, Placed
from worker.partitions.snapshot_writer import Collection, PendingSnapshot, SnapshotWriter

COLLECT_WITHIN_S = 5.0
"""A collection that did not begin within this time after the commit that allows it is dropped: by the session timeout,
another owner may build on what it would delete.
"""


class Snapshots:
    """Takes snapshots of committed state, and lets the next commit name those that Redis has."""

    def __init__(self, writer: SnapshotWriter, every: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._writer = writer
        self._every = every
        self._monotonic = monotonic

    def take(self, assignment: Assignment, now: float, wall_ms: int, *, every: float | None = None) -> None:
        """Snapshot each live partition that is due (`every` seconds after its last one), fully committed, and has no
        snapshot in flight (which bounds memory while Redis is down).
        """
        for assigned in assignment:
            placed = assigned.live
            if placed is None:
                continue
            self._collect(assigned, placed, now, wall_ms)
            due = now - assigned.snapshot_at >= (self._every if every is None else every)
            committed = placed.committed is not None and placed.state.next_offset == placed.committed.offset
            if due and committed and not placed.in_flight and placed.state.next_offset != placed.captured:
                kept = _kept_ancestors(placed, placed.stored, wall_ms) if placed.stored is not None else ()
                captured = capture_state(placed.state, assigned.source.topic, placed.stored, kept, wall_ms)
                self._writer.submit(PendingSnapshot(assigned.source, assigned.number, captured))
                placed.captured, placed.in_flight = placed.state.next_offset, True
                assigned.snapshot_at = now

    def name_stored(self, assignment: Assignment) -> None:
        """Let the next commits name the snapshots that have reached Redis since the last call."""
        for stored in self._writer.stored():
            assigned = assignment.get(stored.source)
            placed = assigned.live if assigned is not None and assigned.number == stored.number else None
            if placed is None:
                continue
            placed.in_flight = False
            placed.stored = stored.snapshot
            if stored.snapshot is None:  # Redis has lost a shared chunk: the next snapshot is a whole one
                placed.captured = -1
                continue
            placed.metadata = placed.metadata.with_base(Base(stored.snapshot.id, stored.snapshot.offset))

    def _collect(self, assigned: AssignedPartition, placed: Placed, now: float, wall_ms: int) -> None:
        """Delete what retention does not keep, once a commit is known to name the newest snapshot."""
        stored, committed = placed.stored, placed.committed
        if stored is None or assigned.collected == stored.id:
            return
        if committed is None or committed.metadata != placed.metadata.encode():
            return
        assigned.collected = stored.id
        kept = frozenset(ancestor.id for ancestor in _kept_ancestors(placed, stored, wall_ms))
        deadline = now + COLLECT_WITHIN_S
        self._writer.collect(Collection(stored, kept, wall_ms, lambda: self._monotonic() < deadline))

    def drain(self, assignment: Assignment, now: float, wall_ms: int, seconds: float) -> None:
        """Take a last snapshot of everything, and wait until Redis has it, at most `seconds`."""
        self._writer.flush(seconds / 2)
        self.name_stored(assignment)
        for _ in range(2):  # once more, as a whole, if Redis turns out to have lost what the first one shares
            self.take(assignment, now, wall_ms, every=0.0)
            self._writer.flush(seconds / 4)
            self.name_stored(assignment)

    def stop(self) -> None:
        self._writer.stop()


def _kept_ancestors(placed: Placed, stored: Snapshot, wall_ms: int) -> tuple[Ancestor, ...]:
    return ancestors_to_keep(stored, tuple(base.snapshot for base in placed.metadata.bases), wall_ms, placed.low)


def ancestors_to_keep(stored: Snapshot, named: tuple[str, ...], wall_ms: int, low: int) -> tuple[Ancestor, ...]:
    """Of a snapshot and its ancestors, newest first: those that retention keeps, and those that a commit names."""
    line = (stored.ancestor, *stored.ancestors)
    kept = {ancestor.id for ancestor in retain(line, wall_ms, low)}
    return tuple(ancestor for ancestor in line if ancestor.id in kept or ancestor.id in named)
