"""Snapshots: of committed state only, copied by the loop, encoded and written by a thread of their own.

Redis never holds up the data path. The next commit of the same assignment names what Redis has; what the log no longer
needs is collected after a commit that is known to have named the newer one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.core.events.spec import FeatureSpec
from worker.core.state.bounds import Bounds
from worker.core.state.commit_metadata import Base
from worker.core.state.partition_state import PartitionState
from worker.core.state.retention import retained
from worker.core.state.segments import Fresh, plan
from worker.partitions.assigned import AssignedPartition, Assignment, Phase
from worker.partitions.snapshot_writer import Collection, SnapshotWriter, Taken
from worker.ports.stores import HEAD, Ancestor, Chunk, Snapshot

COLLECT_WITHIN_S = 5.0
"""A collection that did not begin so soon after the commit that allows it is dropped: by the session time-out another
owner may build on what it would delete.
"""


class Snapshots:
    """Takes snapshots of committed state, and lets the next commit name those that Redis has."""

    def __init__(self, writer: SnapshotWriter, every: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._writer = writer
        self._every = every
        self._monotonic = monotonic

    def take(self, assignment: Assignment, now: float, wall_ms: int, *, every: float | None = None) -> None:
        """Snapshot each live partition that is due (`every` seconds after its last one), fully committed, and has no
        snapshot in flight. The last condition bounds memory while Redis is down.
        """
        for assigned in assignment:
            state = assigned.state
            if assigned.phase is not Phase.LIVE or state is None or assigned.metadata is None:
                continue
            self._collect(assigned, now, wall_ms)
            due = now - assigned.snapshot_at >= (self._every if every is None else every)
            if (
                due
                and not assigned.in_flight
                and state.next_offset == assigned.committed[0] != assigned.snapshot_offset
            ):
                self._writer.submit(taken(assigned, state, assigned.stored, wall_ms))
                assigned.snapshot_offset, assigned.snapshot_at, assigned.in_flight = state.next_offset, now, True

    def name(self, assignment: Assignment) -> None:
        for done in self._writer.stored():
            assigned = assignment.get(done.source)
            if (
                assigned is None
                or assigned.assignment_number != done.assignment_number
                or assigned.phase is not Phase.LIVE
            ):
                continue
            assigned.in_flight = False
            assigned.stored = done.snapshot
            if done.snapshot is None:  # Redis has lost what it shared: a whole one next
                assigned.snapshot_offset = -1
                continue
            assert assigned.metadata is not None
            assigned.metadata = assigned.metadata.based(Base(done.snapshot.id, done.snapshot.offset))

    def _collect(self, assigned: AssignedPartition, now: float, wall_ms: int) -> None:
        """Once the newest snapshot is known to be named by a commit, what retention does not keep may go."""
        assert assigned.metadata is not None
        stored = assigned.stored
        if stored is None or assigned.collected == stored.id or assigned.committed[1] != assigned.metadata.encode():
            return
        assigned.collected = stored.id
        kept = frozenset(ancestor.id for ancestor in kept_line(assigned, stored, wall_ms))
        deadline = now + COLLECT_WITHIN_S
        self._writer.collect(Collection(stored, kept, wall_ms, lambda: self._monotonic() < deadline))

    def drain(self, assignment: Assignment, now: float, wall_ms: int, seconds: float) -> None:
        """A last snapshot of everything, waited for."""
        self._writer.flush(seconds / 2)
        self.name(assignment)
        for _ in range(2):  # once more, whole, where Redis turns out to have lost what the first one shares
            self.take(assignment, now, wall_ms, every=0.0)
            self._writer.flush(seconds / 4)
            self.name(assignment)

    def stop(self) -> None:
        self._writer.stop()


def taken(assigned: AssignedPartition, state: PartitionState, stored: Snapshot | None, wall_ms: int) -> Taken:
    """The partition's state as a snapshot on top of what is stored; to be taken of committed state only."""
    shared: list[Chunk] = []
    fresh: list[tuple[str, Fresh]] = []
    for name, table in state.tables.items():
        kept = stored.chunks_of(name) if stored is not None else []
        reused, changed = plan(table, kept, stored.offset if stored is not None else 0)
        shared += reused
        if changed is not None:
            fresh.append((name, changed))
    bare = Snapshot(
        topic=assigned.source.topic,
        topic_id=assigned.topic_id,
        partition=assigned.source.partition,
        offset=state.next_offset,
        spec_hash=state.spec.spec_hash,
        bundle=state.versions.bundle,
        threshold=state.versions.threshold,
        created_ms=wall_ms,
        line=tuple(kept_line(assigned, stored, wall_ms)) if stored is not None else (),
        chunks=tuple(shared),
    )
    return Taken(assigned.source, assigned.assignment_number, bare, state.head(), tuple(fresh))


def kept_line(assigned: AssignedPartition, stored: Snapshot, wall_ms: int) -> list[Ancestor]:
    """Of a snapshot and those that it grew from, newest first: what retention keeps, and what the commit names."""
    line = [stored.ancestor, *stored.line]
    named = {base.snapshot for base in assigned.metadata.bases} if assigned.metadata is not None else set()
    kept = {ancestor.id for ancestor in retained(line, wall_ms, assigned.low)}
    return [ancestor for ancestor in line if ancestor.id in kept | named]


def restored(snapshot: Snapshot, spec: FeatureSpec, cooldown_ms: int, bounds: Bounds) -> PartitionState:
    """The state that a snapshot holds, as far as its contents were read. Raises ValueError as `PartitionState`."""
    tables: dict[str, list[bytes]] = {}
    head = b""
    for chunk in snapshot.chunks:
        content = snapshot.contents.get(chunk.sha256)
        if chunk.table == HEAD and content is not None:
            head = content
        elif content is not None:
            tables.setdefault(chunk.table, []).append(content)
    return PartitionState.restore(head, tables, spec, cooldown_ms, bounds)
