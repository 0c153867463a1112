"""Reads a stream's history from Kafka and decodes it as the worker does.

The reader joins no consumer group and commits nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from worker.adapters.kafka_admin import Topics, matching
from worker.adapters.kafka_range_reader import Connection, RangeReader, newest
from worker.config.settings import Settings
from worker.core.events.columns import Columns
from worker.core.events.decode import Decoder
from worker.core.state.partition_state import PartitionState
from worker.core.step import featurize
from worker.errors import ConfigError
from worker.ports.log import Records, TopicPartition

ANSWER_S = 10.0
_REASONS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class History:
    """n events in order of their event times, as the model sees them.

    `read` counts all records. Those without an event in `columns` are counted by cause: `rejected` (by reason in
    `reasons`), `tombstones`, and `anomalous` by their label. `ranges` holds the first and last offset read per
    "topic/partition".
    """

    columns: Columns
    read: int
    rejected: int = 0
    tombstones: int = 0
    anomalous: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    ranges: dict[str, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class _PartitionHistory:
    """The history of one partition, decoded batch by batch."""

    state: PartitionState
    first_offset: int = -1
    last_offset: int = -1
    columns: list[Columns] = field(default_factory=list)
    times: list[npt.NDArray[np.int64]] = field(default_factory=list)
    read: int = 0
    rejected: int = 0
    tombstones: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, records: Records, decoder: Decoder) -> None:
        """Decode and featurize the partition's next records, at least one."""
        if not self.read:
            self.first_offset = int(records.offsets[0])
        self.last_offset = int(records.offsets[-1])
        decoded = decoder.decode(records.values)
        featurized = featurize(self.state, decoded, records.offsets, records.timestamps, records.key)
        self.columns.append(featurized.columns)
        self.times.append(featurized.times.times)
        self.read += len(records)
        self.rejected += len(decoded.rejects)
        self.tombstones += decoded.tombstones
        self.reasons.update(reason for reject in decoded.rejects for reason in reject.reasons)


def read_history(
    settings: Settings,
    decoder: Decoder,
    rows: int | None,
    since_ms: int | None,
    progress: Callable[[int, int], None],
) -> History:
    """Read the newest `rows` offsets, in equal shares of the partitions, with a record timestamp from `since_ms` on.

    Fewer records than offsets come if transactions or compaction left offsets without a record. `progress` is called
    with the number of offsets read so far and the total.

    Raises ConfigError if a topic is missing or has no records, or if no record is an event; DependencyUnreachable;
    RefusedByKafka.
    """
    kafka = settings.kafka
    Topics(kafka.bootstrap_servers, kafka.properties).await_broker(ANSWER_S)
    connection = Connection(kafka.bootstrap_servers, kafka.properties)
    with RangeReader(connection, "the history", group=kafka.group) as reader:
        ranges = reader.ranges(_partitions_of(kafka.events, reader.topics()), since_ms)
        if rows is not None:
            ranges = newest(ranges, rows)
        partitions = {
            source: _PartitionHistory(PartitionState(settings.spec, "", source.partition, start, 0, settings.bounds))
            for source, start, _ in ranges
        }
        for records in reader.read(ranges, progress):
            partitions[records.source].add(records, decoder)
    topics_read = {source.topic for source, partition in partitions.items() if partition.read}
    for name in kafka.events:
        if not matching([name], topics_read):
            limit = " since the time of --since" if since_ms is not None else ""
            raise ConfigError(f"kafka.events: topic {name!r} has no records{limit}; use --from to train on a file")
    return _merge(partitions)


def _partitions_of(events: Sequence[str], topics: Mapping[str, int]) -> list[TopicPartition]:
    """The partitions of the configured topics, in order. `topics` has the number of partitions of each topic."""
    for name in events:
        if not matching([name], topics):
            raise ConfigError(f"kafka.events: there is no topic {name!r}")
    return [
        TopicPartition(topic, number) for topic in matching(events, sorted(topics)) for number in range(topics[topic])
    ]


def _merge(partitions: Mapping[TopicPartition, _PartitionHistory]) -> History:
    """Merge the partitions by event time; ties keep the order of partition and offset.

    Raises ConfigError if no record is an event.
    """
    histories = partitions.values()
    read = sum(history.read for history in histories)
    reasons = sum((history.reasons for history in histories), Counter[str]()).most_common()
    columns = Columns.concat([block for history in histories for block in history.columns])
    if not len(columns):
        causes = [f"{reason} ({count})" for reason, count in reasons[:_REASONS_SHOWN]] or ["all are tombstones"]
        raise ConfigError(f"kafka.events: none of the {read} records is an event: {'; '.join(causes)}")
    order = np.argsort(np.concatenate([times for history in histories for times in history.times]), kind="stable")
    return History(
        columns.take(order),
        read,
        rejected=sum(history.rejected for history in histories),
        tombstones=sum(history.tombstones for history in histories),
        reasons=dict(reasons),
        ranges={
            f"{source.topic}/{source.partition}": [history.first_offset, history.last_offset]
            for source, history in partitions.items()
            if history.read
        },
    )
