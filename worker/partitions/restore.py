"""States out of snapshots: what cannot be read, or belongs elsewhere, does not exist, and is said."""

from __future__ import annotations

from dataclasses import replace

import structlog

from worker.config.settings import Settings
from worker.core.state.commit_metadata import EMPTY, CommitMetadata
from worker.core.state.partition_state import PartitionState
from worker.partitions.assigned import AssignedPartition
from worker.partitions.snapshots import restored
from worker.ports.stores import Snapshot, SnapshotStore

log = structlog.get_logger()


class StateLoader:
    """Every call may raise StoreUnavailable. Snapshots are returned without their contents."""

    def __init__(self, settings: Settings, store: SnapshotStore) -> None:
        self._spec = settings.spec
        self._cooldown_ms = int(settings.alerts.cooldown * 1000)
        self._bounds = settings.bounds
        self._store = store

    def empty(self, assigned: AssignedPartition, offset: int) -> PartitionState:
        partition = assigned.source.partition
        return PartitionState(self._spec, assigned.topic_id, partition, offset, self._cooldown_ms, self._bounds)

    def newest(
        self, assigned: AssignedPartition, metadata: CommitMetadata
    ) -> tuple[PartitionState, Snapshot | None] | None:
        """Of the states that a commit names; None where all of them are gone."""
        topic, partition = assigned.source
        for base in reversed(metadata.bases):
            if base.snapshot == EMPTY:
                return self.empty(assigned, base.offset), None
            found = self._read(assigned, self._store.get(topic, partition, base.snapshot))
            if found is not None:
                return found
            log.error("snapshot_missing", topic=topic, partition=partition, snapshot=base.snapshot)
        return None

    def at_or_below(self, assigned: AssignedPartition, offset: int) -> tuple[PartitionState, Snapshot] | None:
        topic, partition = assigned.source
        return self._read(assigned, self._store.newest_at_or_below(topic, assigned.topic_id, partition, offset))

    def _read(self, assigned: AssignedPartition, snapshot: Snapshot | None) -> tuple[PartitionState, Snapshot] | None:
        if snapshot is None:
            return None
        try:
            state = restored(snapshot, self._spec, self._cooldown_ms, self._bounds)
        except ValueError as error:
            log.error("snapshot_refused", snapshot=snapshot.id, error=str(error))
            return None
        if (state.topic_id, state.partition, state.next_offset) != (
            assigned.topic_id, assigned.source.partition, snapshot.offset,
        ):  # fmt: skip
            log.error("snapshot_refused", snapshot=snapshot.id, error="of another partition or offset")
            return None
        return state, replace(snapshot, contents={})
