"""Windows: each event together with its entity's records before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from worker.core.columns import Columns


def attach(columns: Columns, entities: Sequence[str | None], window: int) -> Columns:
    """n events in time order with a window of `window` records each, newest first; unchanged for a window of 1.

    `entities` names one entity per event. Where an entity has had fewer records, its first stands in for those
    before it: a window is never padded with values that nobody sent.
    """
    if window == 1:
        return columns
    return Columns(columns.values, lags_of(entities, window))


def lags_of(entities: Sequence[str | None], window: int) -> npt.NDArray[np.int64]:
    """(n, window) int64: row numbers of each row and of its entity's `window` - 1 rows before it, newest first."""
    names: dict[str | None, int] = {}
    codes = np.fromiter((names.setdefault(entity, len(names)) for entity in entities), np.int64, len(entities))
    # Grouped by entity, in order within each: the record before a row is then the place before it.
    order = np.argsort(codes, kind="stable")
    grouped = codes[order]
    first = np.searchsorted(grouped, grouped, side="left")
    places = np.maximum(np.arange(len(order))[:, None] - np.arange(window), first[:, None])
    lags = np.empty((len(order), window), np.int64)
    lags[order] = order[places]
    return lags
