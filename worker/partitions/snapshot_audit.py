"""Checks that Redis still has the snapshots that commits build on.

If Redis has lost one (it was emptied, or restored from an old backup), the partition's next snapshot is a whole one,
even if no record comes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import structlog

from worker.core.state.snapshot import Snapshot
from worker.partitions.assigned import Assignment
from worker.ports.log import TopicPartition
from worker.ports.stores import SnapshotStore, StoreUnavailable

CHECK_EVERY_S = 20.0
CHECKS_AT_ONCE = 50

log = structlog.get_logger()


class SnapshotAudit:
    """`exchange` belongs to the loop's thread, `check` to one that may wait for Redis."""

    def __init__(
        self, store: SnapshotStore, assignment: Assignment, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._assignment = assignment
        self._monotonic = monotonic
        self._stored: dict[TopicPartition, Snapshot] = {}
        self._checked: dict[TopicPartition, float] = {}
        self._lost: deque[Snapshot] = deque()

    def exchange(self) -> None:
        """Handle the losses that were found, and hand over the snapshots that are to be checked."""
        while self._lost:
            self._store_anew(self._lost.popleft())
        self._stored = {
            assigned.source: placed.stored
            for assigned in self._assignment
            if (placed := assigned.live) is not None and placed.stored is not None
        }

    def _store_anew(self, lost: Snapshot) -> None:
        assigned = self._assignment.get(TopicPartition(lost.topic, lost.partition))
        placed = assigned.placed if assigned is not None else None
        if placed is None or placed.in_flight or placed.stored is None or placed.stored.id != lost.id:
            return
        log.error(
            "snapshot_lost",
            topic=lost.topic,
            partition=lost.partition,
            snapshot=lost.id,
            offset=lost.offset,
            effect="stored anew",
        )
        placed.stored = None
        placed.captured = -1

    def check(self) -> None:
        """Query Redis for the snapshots that were checked longest ago."""
        now, stored = self._monotonic(), self._stored
        self._checked = {source: self._checked.get(source, now) for source in stored}
        due = sorted(stored, key=lambda source: self._checked[source])[:CHECKS_AT_ONCE]
        for source in due:
            if now - self._checked[source] < CHECK_EVERY_S:
                return
            snapshot = stored[source]
            try:
                found = self._store.get(source.topic, source.partition, snapshot.id, tables=())
            except StoreUnavailable:
                return
            self._checked[source] = now
            if found is None:
                self._lost.append(snapshot)
