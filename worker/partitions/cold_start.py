"""Cold start: without a model the first events of each partition are kept in Redis for the trainer, and nothing is
committed.
"""

from __future__ import annotations

import structlog

from worker.core.events.columns import Columns, to_bytes
from worker.core.events.spec import FeatureSpec
from worker.partitions.assigned import AssignedPartition
from worker.ports.log import Records
from worker.ports.stores import SampleStore, StoreUnavailable

ROWS_PER_PARTITION = 16_384

log = structlog.get_logger()


class ColdSampler:
    def __init__(self, store: SampleStore, spec: FeatureSpec) -> None:
        self._store = store
        self._spec = spec

    def take(self, assigned: AssignedPartition, records: Records, columns: Columns) -> bool:
        """Store the rows under their first offset, so that a repeat overwrites itself; False if Redis is down."""
        if not len(columns):
            return True
        raw = to_bytes(columns, self._spec)
        try:
            self._store.add(
                assigned.topic_id,
                records.source.topic,
                records.source.partition,
                int(records.offsets[0]),
                raw,
                len(columns),
            )
        except StoreUnavailable as error:
            log.warning("sample_not_stored", error=str(error))
            return False
        assigned.sampled_rows += len(columns)
        return True

    def full(self, assigned: AssignedPartition) -> bool:
        return assigned.sampled_rows >= ROWS_PER_PARTITION
