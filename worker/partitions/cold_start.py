"""Cold start: as long as there is no model, the first events of each partition are kept in Redis for the trainer.

Nothing is committed in the meantime but the start offset.
"""

from __future__ import annotations

import structlog

from worker.core.events.columns import Columns, to_bytes
from worker.core.events.spec import FeatureSpec
from worker.partitions.assigned import Placed
from worker.ports.log import Records
from worker.ports.stores import SampleStore, StoreUnavailable

ROWS_PER_PARTITION = 16_384

log = structlog.get_logger()


class ColdSampler:
    """Stores samples until a partition has contributed `ROWS_PER_PARTITION` rows."""

    def __init__(self, store: SampleStore, spec: FeatureSpec) -> None:
        self._store = store
        self._spec = spec

    def take(self, placed: Placed, records: Records, columns: Columns) -> bool:
        """Store the rows under their first offset, so that a repeat overwrites itself; False if Redis is down."""
        if not len(columns):
            return True
        topic, partition = records.source
        first, raw = int(records.offsets[0]), to_bytes(columns, self._spec)
        try:
            self._store.add(placed.topic_id, topic, partition, first, raw, len(columns))
        except StoreUnavailable as error:
            log.warning("sample_not_stored", error=str(error))
            return False
        placed.sampled_rows += len(columns)
        return True

    def full(self, placed: Placed) -> bool:
        return placed.sampled_rows >= ROWS_PER_PARTITION
