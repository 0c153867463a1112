"""Loads partition state from snapshots. An unreadable snapshot, or one of another partition, counts as missing, and is
logged.
"""

from __future__ import annotations

import structlog

from worker.config.settings import Settings
from worker.core.state.capture import restore_state
from worker.core.state.commit_metadata import EMPTY, CommitMetadata
from worker.core.state.partition_state import PartitionState
from worker.core.state.snapshot import Snapshot
from worker.ports.log import TopicPartition
from worker.ports.stores import SnapshotStore

log = structlog.get_logger()


class StateLoader:
    """Snapshots are returned without their contents. Every call may raise StoreUnavailable."""

    def __init__(self, settings: Settings, store: SnapshotStore) -> None:
        self._spec = settings.spec
        self._cooldown_ms = int(settings.alerts.cooldown * 1000)
        self._bounds = settings.bounds
        self._store = store

    def empty(self, topic_id: str, partition: int, offset: int) -> PartitionState:
        return PartitionState(self._spec, topic_id, partition, offset, self._cooldown_ms, self._bounds)

    def newest(
        self, source: TopicPartition, topic_id: str, metadata: CommitMetadata
    ) -> tuple[PartitionState, Snapshot | None] | None:
        """The newest of the states that a commit names; None if all of them are gone."""
        topic, partition = source
        for base in reversed(metadata.bases):
            if base.snapshot == EMPTY:
                return self.empty(topic_id, partition, base.offset), None
            loaded = self._load(source, topic_id, self._store.get(topic, partition, base.snapshot))
            if loaded is not None:
                return loaded
            log.error("snapshot_missing", topic=topic, partition=partition, snapshot=base.snapshot)
        return None

    def at_or_below(self, source: TopicPartition, topic_id: str, offset: int) -> tuple[PartitionState, Snapshot] | None:
        """The newest kept state at or below an offset."""
        topic, partition = source
        return self._load(source, topic_id, self._store.newest_at_or_below(topic, topic_id, partition, offset))

    def _load(
        self, source: TopicPartition, topic_id: str, snapshot: Snapshot | None
    ) -> tuple[PartitionState, Snapshot] | None:
        if snapshot is None:
            return None
        try:
            state = restore_state(snapshot, self._spec, self._cooldown_ms, self._bounds)
        except ValueError as error:
            log.error("snapshot_refused", snapshot=snapshot.id, error=str(error))
            return None
        expected = (topic_id, source.partition, snapshot.offset)
        if (state.topic_id, state.partition, state.next_offset) != expected:
            log.error("snapshot_refused", snapshot=snapshot.id, error="of another partition or offset")
            return None
        return state, snapshot.without_contents()
