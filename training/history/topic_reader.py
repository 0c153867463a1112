"""Some records of a topic, its newest or earliest, spread over the partitions. Joins no group, commits nothing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from worker.adapters.kafka_config import for_role, refused
from worker.config.refused_properties import is_secret
from worker.errors import ConfigError, DependencyUnreachable

_ANSWER_S = 10.0
_STALLED_S = 15.0
_BATCH = 1_000

Progress = Callable[[int, int], None]
"""Called with how many records were read, and how many at most there are to read."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to read: at most `rows` records of `topic`, the `newest` or the earliest."""

    topic: str
    bootstrap: str
    properties: Mapping[str, str]
    rows: int
    newest: bool = True


@dataclass(slots=True)
class Records:
    """`stalled` says that the brokers stopped sending before all wanted records were there."""

    messages: list[Message] = field(default_factory=list)
    stalled: bool = False


def read(request: Request, progress: Progress, answer_s: float = _ANSWER_S) -> Records:
    """Raises ConfigError for properties that librdkafka refuses and for a topic that is not there,
    DependencyUnreachable where no broker answers in time, RefusedByKafka where one says no.
    """
    troubles: list[KafkaError] = []
    consumer = _consumer(request, troubles)
    try:
        return _read(consumer, request, _spans(consumer, request, answer_s), progress)
    except KafkaException as error:
        raise _named(error.args[0], troubles, request, answer_s) from error
    finally:
        consumer.close()


def shares(counts: Mapping[int, int], rows: int) -> dict[int, int]:
    """How many of `rows` to read of each partition, by how many it has: as even as they allow."""
    left, taken = rows, {}
    for place, (partition, count) in enumerate(sorted(counts.items(), key=lambda entry: entry[1])):
        taken[partition] = min(count, left // (len(counts) - place))
        left -= taken[partition]
    return taken


def _consumer(request: Request, troubles: list[KafkaError]) -> Consumer:
    ours: dict[str, Any] = {
        "bootstrap.servers": request.bootstrap,
        # librdkafka wants one; without a subscription no group comes of it.
        "group.id": f"offbeat-profile-{uuid.uuid4().hex}",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "log_level": 0,
        "error_cb": troubles.append,
    }
    try:
        return Consumer({**for_role(request.properties, "consumer"), **ours})
    except (KafkaException, ValueError, TypeError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        for name, value in request.properties.items():
            reason = reason.replace(value, "***") if is_secret(name) and value else reason
        raise ConfigError(f"-X: {reason}") from None


def _spans(consumer: Consumer, request: Request, answer_s: float) -> dict[int, tuple[int, int]]:
    """The offsets to read, from and to before, of each partition that has some."""
    # All topics, not this one: asking for one by name may create it.
    listed = consumer.list_topics(timeout=answer_s).topics
    topic = listed.get(request.topic)
    if topic is None:
        near = get_close_matches(request.topic, listed, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; it has {len(listed)} topics"
        raise ConfigError(f"--topic: there is no {request.topic!r} at {request.bootstrap}{hint}")
    if topic.error is not None:
        raise KafkaException(topic.error)
    bounds = {
        partition: consumer.get_watermark_offsets(TopicPartition(request.topic, partition), answer_s)
        for partition in topic.partitions
    }
    wanted = shares({partition: high - low for partition, (low, high) in bounds.items()}, request.rows)
    spans = {}
    for partition, count in wanted.items():
        low, high = bounds[partition]
        spans[partition] = (high - count, high) if request.newest else (low, low + count)
    return {partition: span for partition, span in spans.items() if span[0] < span[1]}


def _read(consumer: Consumer, request: Request, spans: dict[int, tuple[int, int]], progress: Progress) -> Records:
    found = Records()
    total = sum(end - start for start, end in spans.values())
    unfinished = set(spans)
    consumer.assign([TopicPartition(request.topic, partition, start) for partition, (start, _) in spans.items()])
    last = time.monotonic()
    while unfinished and not found.stalled:
        batch = consumer.consume(_BATCH, 0.5)
        for message in batch:
            partition, offset = message.partition() or 0, message.offset() or 0
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if error is None and partition in unfinished and offset < spans[partition][1]:
                found.messages.append(message)
            # The end may hold no record: a marker of a transaction, or one that compaction took.
            if partition in unfinished and (error is not None or offset >= spans[partition][1] - 1):
                unfinished.discard(partition)
                consumer.pause([TopicPartition(request.topic, partition)])
        last = time.monotonic() if batch else last
        found.stalled = time.monotonic() - last > _STALLED_S
        progress(len(found.messages), total)
    return found


def _named(error: KafkaError, troubles: list[KafkaError], request: Request, answer_s: float) -> Exception:
    final = next(filter(None, (refused(trouble, "the sample") for trouble in [*troubles, error])), None)
    if final is not None:
        return final
    return DependencyUnreachable(
        f"--bootstrap-servers: no answer from {request.bootstrap} within {answer_s:.0f} s: {error.str()}"
    )
