"""Whether Redis still has the snapshots that commits build on. Where it has lost one (it was emptied, or restored from
an old backup), the partition's next snapshot is a whole one, even if no record comes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import structlog

from worker.partitions.assigned import Assignment, Phase
from worker.ports.log import TopicPartition
from worker.ports.stores import Snapshot, SnapshotStore, StoreUnavailable

CHECK_EVERY_S = 20.0
CHECKS_AT_ONCE = 50

log = structlog.get_logger()


class SnapshotAudit:
    """`look` belongs to the loop's thread, `check` to one that may wait for Redis."""

    def __init__(
        self, store: SnapshotStore, assignment: Assignment, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._assignment = assignment
        self._monotonic = monotonic
        self._stored: dict[TopicPartition, Snapshot] = {}
        self._checked: dict[TopicPartition, float] = {}
        self._lost: deque[Snapshot] = deque()

    def look(self) -> None:
        """Take what was found, and say what there is to check."""
        while self._lost:
            lost = self._lost.popleft()
            assigned = self._assignment.get(TopicPartition(lost.topic, lost.partition))
            if (
                assigned is not None
                and assigned.stored is not None
                and assigned.stored.id == lost.id
                and not assigned.in_flight
            ):
                log.error("snapshot_lost", topic=lost.topic, partition=lost.partition, snapshot=lost.id,
                          offset=lost.offset, effect="stored anew")  # fmt: skip
                assigned.stored = None
                assigned.snapshot_offset = -1
        self._stored = {
            assigned.source: assigned.stored
            for assigned in self._assignment
            if assigned.phase is Phase.LIVE and assigned.stored is not None
        }

    def check(self) -> None:
        """Ask Redis for those that were not asked for longest."""
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
