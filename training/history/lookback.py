"""Featurizes the rows of a file with the step that featurizes records in the worker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from worker.config.settings import Settings
from worker.core.events.columns import Columns
from worker.core.events.decode import Decoded
from worker.core.events.entity_names import pack_names
from worker.core.state.partition_state import PartitionState
from worker.core.step import featurize

_CHUNK = 8_192


def featurize_rows(
    settings: Settings, columns: Columns, entities: Sequence[str | None], times: npt.NDArray[np.int64]
) -> Columns:
    """Add to each of n rows the lookback columns, computed from the earlier rows of its entity.

    The rows are in order of arrival. `entities` (n,) names the entity of each row, None if it has none; `times` (n,)
    int64 are the event times in ms since 1970. Returns `columns` unchanged if no feature looks back.
    """
    if not settings.spec.stateful:
        return columns
    state = PartitionState(settings.spec, "", 0, 0, 0, settings.bounds)
    featurized = []
    for start in range(0, len(times), _CHUNK):
        rows = slice(start, start + _CHUNK)
        count = len(times[rows])
        decoded = Decoded(
            index=np.arange(count, dtype=np.intp),
            columns=columns.take(rows),
            times=times[rows].astype(np.float64),
            rejects=[],
            tombstones=0,
            names=pack_names(entities[rows]),
        )
        offsets = np.arange(start, start + count, dtype=np.int64)
        no_timestamps = np.full(count, -1, np.int64)
        featurized.append(featurize(state, decoded, offsets, no_timestamps, lambda _: None).columns)
    return Columns.concat(featurized)
