"""Rows of a file as the model sees them: the fold over their entities' pasts that the worker does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from worker.config.settings import Settings
from worker.core.events.columns import Columns
from worker.core.events.entity_names import pack_names
from worker.core.events.event_time import event_times
from worker.core.state.entities import Entities

_CHUNK = 8_192


def with_pasts(
    settings: Settings, columns: Columns, entities: Sequence[str | None], times: npt.NDArray[np.int64]
) -> Columns:
    """n rows in the order in which they came, with the statistics and records of the rows before each.

    `entities` (n,) one name a row, `times` (n,) event time in ms; unchanged where no feature looks back.
    """
    spec = settings.spec
    if not spec.stateful:
        return columns
    past, clock, parts = Entities(spec, settings.bounds), None, []
    for start in range(0, len(times), _CHUNK):
        rows = slice(start, start + _CHUNK)
        when = event_times(times[rows].astype(np.float64), np.full(len(times[rows]), -1, np.int64), clock)
        offsets = np.arange(start, start + len(when.times), dtype=np.int64)
        parts.append(
            past.observe(columns.take(rows), pack_names(entities[rows]), when.times, when.clock, offsets).columns
        )
        clock = int(when.clock[-1])
    return Columns.concat(parts)
