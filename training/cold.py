"""Cold start: are there enough samples, and which rows are they."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.core.columns import Columns, from_bytes
from worker.core.spec import FeatureSpec
from worker.ports import SampleStore

ENOUGH_ROWS = 2_048


@dataclass(frozen=True, slots=True)
class ColdRows:
    """`columns` in offset order, the partitions in step; `ranges` first and last offset of each."""

    columns: Columns
    ranges: dict[str, list[int]]


def cold_columns(samples: SampleStore, spec: FeatureSpec) -> ColdRows | None:
    """The first events of the stream, or None while there are fewer than `ENOUGH_ROWS`."""
    if samples.rows() < ENOUGH_ROWS:
        return None
    blocks = samples.read()
    ranges: dict[str, list[int]] = {}
    for block in blocks:
        name = f"{block.topic}/{block.partition}"
        first, last = ranges.get(name, [block.first_offset, block.first_offset])
        ranges[name] = [min(first, block.first_offset), max(last, block.first_offset + block.rows - 1)]
    columns = Columns.concat([from_bytes(block.columns, spec) for block in blocks])
    # Partitions in step, row by row: blocks of time are cut by row order later.
    steps = np.concatenate(
        [block.first_offset - ranges[f"{block.topic}/{block.partition}"][0] + np.arange(block.rows) for block in blocks]
    )
    return ColdRows(columns.take(np.argsort(steps, kind="stable")), ranges)
