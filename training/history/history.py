"""A stream's history out of Kafka: decoded as the worker would, read outside the group, nothing committed."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka_admin import Topics
from worker.adapters.kafka_config import consumer_properties, refused
from worker.config.settings import Settings
from worker.core.events.columns import Columns
from worker.core.events.decode import Decoder
from worker.core.events.event_time import event_times
from worker.core.state.partition_state import PartitionState
from worker.errors import ConfigError, DependencyUnreachable
from worker.ports.log import Records, TopicPartition

ANSWER_S = 10.0
STALL_S = 30.0
"""When nothing has come for this long, reading counts as failed."""
_CALL_TIMEOUT_S = 5.0
_BATCH, _BATCH_S = 5_000, 0.2
_REASONS_TOLD = 3


@dataclass(frozen=True, slots=True)
class History:
    """n events in time order, as the model sees them.

    Not among them, of the `read` records: those `rejected` (`reasons` counts why), `tombstones`, and those that a
    label calls `anomalous`. `ranges` holds first and last offset read per "topic/partition".
    """

    columns: Columns
    read: int
    rejected: int = 0
    tombstones: int = 0
    anomalous: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    ranges: dict[str, list[int]] = field(default_factory=dict)


def read_history(
    settings: Settings,
    decoder: Decoder,
    rows: int | None,
    since_ms: int | None,
    progress: Callable[[int, int], None],
) -> History:
    """The newest `rows` offsets, spread over the partitions, of those from `since_ms` (record timestamp) on.

    Where transactions or compaction left offsets without a record, fewer records come. `progress` is told offsets done
    and in all. Raises ConfigError for a topic that is missing or has no event, DependencyUnreachable, RefusedByKafka.
    """
    kafka = settings.kafka
    topics = Topics(kafka.bootstrap_servers, kafka.properties)
    topics.await_broker(ANSWER_S)
    properties = consumer_properties(kafka.bootstrap_servers, kafka.group, kafka.properties)
    # What retention takes while this reads is skipped: history has no offset to lose.
    consumer = Consumer({**properties, "auto.offset.reset": "earliest"})
    try:
        sources = _sources(kafka.events, topics.all_topics())
        partitions = _bounded(_spans(consumer, sources, since_ms), rows, settings)
        _read(consumer, {partition.source: partition for partition in partitions}, decoder, progress)
    except KafkaException as error:
        final = refused(error, "the history")
        raise final or DependencyUnreachable(f"kafka.bootstrap_servers: {error.args[0].str()}") from error
    finally:
        consumer.close()
    for name in kafka.events:
        if not any(partition.read for partition in partitions if _matches(name, partition.source.topic)):
            newer = " from the time on that --since says" if since_ms is not None else ""
            raise ConfigError(f"kafka.events: topic {name!r} has no records{newer}; --from trains from a file")
    return _merged(partitions)


def _matches(name: str, topic: str) -> bool:
    return re.match(name, topic) is not None if name.startswith("^") else name == topic


def _sources(events: Sequence[str], known: Mapping[str, int]) -> list[TopicPartition]:
    """Every partition of the topics; `known` is how many each topic of the cluster has."""
    for name in events:
        if not any(_matches(name, topic) for topic in known):
            raise ConfigError(f"kafka.events: there is no topic {name!r}")
    topics = [topic for topic in sorted(known) if any(_matches(name, topic) for name in events)]
    return [TopicPartition(topic, i) for topic in topics for i in range(known[topic])]


_Span = tuple[TopicPartition, int, int]
"""A partition, its first offset and the offset after the last."""


def _spans(consumer: Consumer, sources: Sequence[TopicPartition], since_ms: int | None) -> list[_Span]:
    """Up to the last committed record; Kafka knows of each record's time, not of what the event says."""
    spans = []
    for source in sources:
        low, high = consumer.get_watermark_offsets(KafkaPartition(*source), _CALL_TIMEOUT_S)
        if since_ms is not None:
            asked = KafkaPartition(source.topic, source.partition, since_ms)
            offset = consumer.offsets_for_times([asked], _CALL_TIMEOUT_S)[0].offset
            low = offset if offset >= 0 else high
        spans.append((source, low, high))
    return spans


@dataclass(slots=True)
class _Partition:
    """What a partition has given of its offsets from `start` to before `stop`; `next` is the offset to come."""

    source: TopicPartition
    start: int
    stop: int
    next: int
    state: PartitionState
    first: int = -1
    last: int = -1
    blocks: list[Columns] = field(default_factory=list)
    times: list[npt.NDArray[np.int64]] = field(default_factory=list)
    read: int = 0
    rejected: int = 0
    tombstones: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def take(self, messages: list[Message], decoder: Decoder) -> None:
        """Records in offset order; those past the end are left out."""
        offsets = [message.offset() or 0 for message in messages]
        self.next = max(self.next, offsets[-1] + 1)
        messages = [message for message, offset in zip(messages, offsets, strict=True) if offset < self.stop]
        if not messages:
            return
        self.first = self.first if self.read else offsets[0]
        self.last = offsets[len(messages) - 1]
        decoded = decoder.decode([message.value() for message in messages])
        stamps = np.array([message.timestamp()[1] for message in messages], np.int64)
        times = event_times(decoded.times, stamps[decoded.index], self.state.clock_ms)
        if len(times.clock):
            self.state.clock_ms = int(times.clock[-1])
        records = Records(
            self.source, np.array(offsets[: len(messages)], np.int64), stamps, [], lambda i: messages[i].key()
        )
        places = records.offsets[decoded.index]
        observed = self.state.observe(decoded.columns, lambda: decoded.entities(records.key), times, places)
        self.blocks.append(observed.columns)
        self.times.append(times.times)
        self.read += len(messages)
        self.rejected += len(decoded.rejects)
        self.tombstones += decoded.tombstones
        self.reasons.update(reason for reject in decoded.rejects for reason in reject.reasons)


def _bounded(spans: Sequence[_Span], rows: int | None, settings: Settings) -> list[_Partition]:
    """The newest `rows` offsets in equal shares; what a short partition leaves of its share goes to the longer ones."""
    left = rows if rows is not None else sum(stop - start for _, start, stop in spans)
    partitions = []
    for i, (source, start, stop) in enumerate(sorted(spans, key=lambda span: span[2] - span[1])):
        share = min(stop - start, left // (len(spans) - i))
        left -= share
        state = PartitionState(settings.spec, "", source.partition, stop - share, 0, settings.bounds)
        partitions.append(_Partition(source, stop - share, stop, stop - share, state))
    return sorted(partitions, key=lambda partition: partition.source)


def _read(
    consumer: Consumer,
    partitions: Mapping[TopicPartition, _Partition],
    decoder: Decoder,
    progress: Callable[[int, int], None],
) -> None:
    """Every partition to its end."""
    pending = {source for source, partition in partitions.items() if partition.start < partition.stop}
    total = sum(partition.stop - partition.start for partition in partitions.values())
    # Assigned by hand: no group is joined, and nobody's partitions move.
    consumer.assign([KafkaPartition(*source, partitions[source].start) for source in sorted(pending)])
    heard = time.monotonic()
    while pending:
        batches = _polled(consumer, partitions)
        for source in batches.keys() & pending:
            partitions[source].take(batches[source], decoder)
        done = {source for source in pending if partitions[source].next >= partitions[source].stop}
        if done:
            consumer.pause([KafkaPartition(*source) for source in sorted(done)])
            pending -= done
        progress(sum(min(p.next, p.stop) - p.start for p in partitions.values()), total)
        if batches or done:
            heard = time.monotonic()
        elif time.monotonic() - heard > STALL_S:
            waits = ", ".join(f"{topic}/{number}" for topic, number in sorted(pending))
            raise DependencyUnreachable(f"kafka.bootstrap_servers: nothing came of {waits} for {STALL_S:.0f} s")


def _polled(consumer: Consumer, partitions: Mapping[TopicPartition, _Partition]) -> dict[TopicPartition, list[Message]]:
    """Records by partition; the end of one is noted, what may pass is waited out, what Kafka refuses is raised."""
    batches: dict[TopicPartition, list[Message]] = {}
    for message in consumer.consume(_BATCH, _BATCH_S):
        error, topic, number = message.error(), message.topic() or "", message.partition()
        source = TopicPartition(topic, number if number is not None else -1)
        if error is None:
            batches.setdefault(source, []).append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            partitions[source].next = max(partitions[source].next, message.offset() or 0)
        elif (final := refused(error, f"topic {topic!r}")) is not None:
            raise final
    return batches


def _merged(partitions: Sequence[_Partition]) -> History:
    """All partitions' events by event time; ties keep the order of partition and offset."""
    read = sum(partition.read for partition in partitions)
    reasons = sum((partition.reasons for partition in partitions), Counter[str]()).most_common()
    columns = Columns.concat([block for partition in partitions for block in partition.blocks])
    if not len(columns):
        told = "; ".join(f"{reason} ({count})" for reason, count in reasons[:_REASONS_TOLD]) or "all are tombstones"
        raise ConfigError(f"kafka.events: none of {read} records is an event: {told}")
    order = np.argsort(np.concatenate([times for p in partitions for times in p.times]), kind="stable")
    return History(
        columns.take(order),
        read,
        rejected=sum(partition.rejected for partition in partitions),
        tombstones=sum(partition.tombstones for partition in partitions),
        reasons=dict(reasons),
        ranges={f"{p.source.topic}/{p.source.partition}": [p.first, p.last] for p in partitions if p.read},
    )
