"""Cold start: the rows for the first model of a stream, once there are enough samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.core.events.columns import Columns, from_bytes
from worker.core.events.spec import FeatureSpec
from worker.ports.stores import SampleStore

ENOUGH_ROWS = 2_048
LEAST_ROWS = 128
PAUSE_S = 10.0
"""After a pause this long, `LEAST_ROWS` rows suffice: a quiet stream would otherwise wait for days."""


@dataclass(frozen=True, slots=True)
class ColdRows:
    """`columns` holds the rows in the order described below, `ranges` [first, last] offsets by "topic/partition"."""

    columns: Columns
    ranges: dict[str, list[int]]


def cold_columns(samples: SampleStore, spec: FeatureSpec, rows: int, paused: float) -> ColdRows | None:
    """The first events of the stream, or None while there are too few.

    `rows` is the number of samples so far, and `paused` the seconds since the last one. The partitions are interleaved
    row by row, since blocks of time are later cut by row order.
    """
    if rows < LEAST_ROWS or (rows < ENOUGH_ROWS and paused < PAUSE_S):
        return None
    blocks = samples.read()
    ranges: dict[str, list[int]] = {}
    for block in blocks:
        name = f"{block.topic}/{block.partition}"
        first, last = ranges.get(name, [block.first_offset, block.first_offset])
        ranges[name] = [min(first, block.first_offset), max(last, block.first_offset + block.rows - 1)]
    columns = Columns.concat([from_bytes(block.columns, spec) for block in blocks])
    steps = np.concatenate(
        [block.first_offset - ranges[f"{block.topic}/{block.partition}"][0] + np.arange(block.rows) for block in blocks]
    )
    return ColdRows(columns.take(np.argsort(steps, kind="stable")), ranges)
