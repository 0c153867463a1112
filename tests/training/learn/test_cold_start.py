"""The rows of a first model: when there are enough, and in which order."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from training.learn.cold_start import ENOUGH_ROWS, LEAST_ROWS, PAUSE_S, cold_columns
from worker.core.events.columns import Columns, to_bytes
from worker.core.events.spec import FeatureSpec
from worker.ports.stores import SampleBlock

SPEC = FeatureSpec.model_validate({"features": [{"field": "n", "kind": "numeric"}]})


class Samples:
    def __init__(self, *blocks: SampleBlock) -> None:
        self._blocks = blocks

    def add(self, topic_id: str, topic: str, partition: int, first_offset: int, columns: bytes, rows: int) -> None:
        raise NotImplementedError

    def rows(self) -> int:
        return sum(block.rows for block in self._blocks)

    def read(self) -> list[SampleBlock]:
        return list(self._blocks)

    def clear(self) -> None:
        raise NotImplementedError


def block(partition: int, first: int, values: Iterable[float]) -> SampleBlock:
    column = np.array(list(values), np.float64)
    return SampleBlock("id", "t", partition, first, len(column), to_bytes(Columns((column,)), SPEC))


def test_partitions_are_interleaved_row_by_row_from_their_first_samples_on() -> None:
    samples = Samples(block(0, 100, [1, 2]), block(0, 102, [3, 4]), block(1, 7, [10, 20, 30]))
    found = cold_columns(samples, SPEC, ENOUGH_ROWS, 0.0)
    assert found is not None
    assert found.columns.values[0].tolist() == [1, 10, 2, 20, 3, 30, 4]
    assert found.ranges == {"t/0": [100, 103], "t/1": [7, 9]}


@pytest.mark.parametrize(
    ("rows", "paused", "enough"),
    [
        (ENOUGH_ROWS, 0.0, True),
        (ENOUGH_ROWS - 1, PAUSE_S - 0.1, False),
        (ENOUGH_ROWS - 1, PAUSE_S, True),
        (LEAST_ROWS, PAUSE_S, True),
        (LEAST_ROWS - 1, 1e6, False),
    ],
)
def test_a_stream_that_pauses_needs_fewer_rows(rows: int, paused: float, enough: bool) -> None:
    assert (cold_columns(Samples(block(0, 0, [1.0])), SPEC, rows, paused) is not None) == enough
