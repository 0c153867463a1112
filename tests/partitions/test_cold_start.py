"""Cold start: samples for the trainer until there is a model."""

from __future__ import annotations

import numpy as np
import pytest

from tests.core.examples import SPEC, rows
from worker.core.events.columns import from_bytes
from worker.core.state.commit_metadata import CommitMetadata
from worker.core.state.partition_state import PartitionState
from worker.partitions.assigned import Phase, Placed
from worker.partitions.cold_start import ROWS_PER_PARTITION, ColdSampler
from worker.ports.log import Records, TopicPartition
from worker.ports.stores import SampleBlock, StoreUnavailable


class Samples:
    """A sample store in memory; `up` says whether it answers."""

    def __init__(self) -> None:
        self.up = True
        self.blocks: dict[tuple[str, int, int], tuple[bytes, int]] = {}

    def add(self, topic_id: str, topic: str, partition: int, first_offset: int, columns: bytes, rows: int) -> None:
        if not self.up:
            raise StoreUnavailable("planted")
        self.blocks[topic_id, partition, first_offset] = (columns, rows)

    def rows(self) -> int:
        return sum(rows for _, rows in self.blocks.values())

    def read(self) -> list[SampleBlock]:
        raise NotImplementedError("the sampler only adds")

    def clear(self) -> None:
        raise NotImplementedError("the sampler only adds")


@pytest.fixture
def samples() -> Samples:
    return Samples()


@pytest.fixture
def sampler(samples: Samples) -> ColdSampler:
    return ColdSampler(samples, SPEC)


@pytest.fixture
def placed() -> Placed:
    state = PartitionState(SPEC, "topic-id", 2, 0, 0)
    return Placed(Phase.COLD, "topic-id", 0, state, CommitMetadata("topic-id", "spec", 3))


def records(first: int, count: int) -> Records:
    offsets = np.arange(first, first + count)
    return Records(TopicPartition("flows", 2), offsets, offsets, [b"{}"] * count, lambda _: None)


def test_rows_are_stored_under_their_first_offset(sampler: ColdSampler, samples: Samples, placed: Placed) -> None:
    columns = rows(10)
    assert sampler.take(placed, records(40, 10), columns)
    [(place, (raw, count))] = samples.blocks.items()
    assert (place, count) == (("topic-id", 2, 40), 10)
    stored = from_bytes(raw, SPEC)
    for read, column in zip(stored.values, columns.values, strict=True):
        np.testing.assert_array_equal(read, column)


def test_a_repeat_overwrites_itself(sampler: ColdSampler, samples: Samples, placed: Placed) -> None:
    for _ in range(3):
        assert sampler.take(placed, records(40, 10), rows(10))
    assert samples.rows() == 10


def test_records_of_which_none_could_be_decoded_store_nothing(
    sampler: ColdSampler, samples: Samples, placed: Placed
) -> None:
    samples.up = False
    assert sampler.take(placed, records(40, 10), rows(0))
    assert (samples.rows(), placed.sampled_rows) == (0, 0)


def test_redis_down_is_reported_and_counts_no_rows(sampler: ColdSampler, samples: Samples, placed: Placed) -> None:
    samples.up = False
    assert not sampler.take(placed, records(40, 10), rows(10))
    assert placed.sampled_rows == 0


def test_a_partition_is_full_once_it_has_contributed_its_share(sampler: ColdSampler, placed: Placed) -> None:
    columns = rows(10)
    placed.sampled_rows = ROWS_PER_PARTITION - 11
    assert sampler.take(placed, records(0, 10), columns)
    assert not sampler.full(placed)
    assert sampler.take(placed, records(10, 10), columns)
    assert sampler.full(placed)
