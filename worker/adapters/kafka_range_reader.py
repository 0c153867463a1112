"""Reads ranges of a topic's offsets without joining a group and without committing anything.

For whoever looks at a topic from outside the worker's group: training on a topic's history, sampling a topic, watching
the demo's output. Only committed records are read.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka_config import Properties, consumer_properties, detect_refusal
from worker.adapters.kafka_records import group_by_partition
from worker.config.refused_properties import is_secret
from worker.errors import ConfigError, DependencyUnreachable, RefusedByKafka
from worker.ports.log import Records, TopicPartition

BATCH = 5_000
BATCH_S = 0.2
"""`read` hands over at most BATCH records at a time, and waits this long for a batch to fill."""

Key = TypeVar("Key", bound=Hashable)
Progress = Callable[[int, int], None]
"""Called with the number of offsets passed so far, and the number of offsets to pass in all."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a cluster, and the names of the two options under which the user gave it, for error texts."""

    bootstrap: str
    properties: Properties = field(default_factory=dict, repr=False)  # there may be passwords in it
    bootstrap_option: str = "kafka.bootstrap_servers"
    properties_option: str = "kafka.properties"


class OffsetRange(NamedTuple):
    """The offsets of one partition from `start` to before `stop`. Not every offset in it need hold a record."""

    source: TopicPartition
    start: int
    stop: int


class ReadStalled(DependencyUnreachable):
    """The brokers have sent nothing for too long, while records of a range were still to come."""


def share_rows(counts: Mapping[Key, int], rows: int) -> dict[Key, int]:
    """How many of `rows` each key gets: at most its count, and as evenly as the counts allow."""
    left, shares = rows, {}
    for place, (key, count) in enumerate(sorted(counts.items(), key=lambda entry: entry[1])):
        shares[key] = min(count, left // (len(counts) - place))
        left -= shares[key]
    return shares


def newest(ranges: Sequence[OffsetRange], rows: int) -> list[OffsetRange]:
    """The ranges cut to their newest offsets, `rows` in all, shared out evenly. Empty ranges stay in the list."""
    shares = share_rows({r.source: r.stop - r.start for r in ranges}, rows)
    return [OffsetRange(r.source, r.stop - shares[r.source], r.stop) for r in ranges]


def earliest(ranges: Sequence[OffsetRange], rows: int) -> list[OffsetRange]:
    """The ranges cut to their earliest offsets, `rows` in all, shared out evenly. Empty ranges stay in the list."""
    shares = share_rows({r.source: r.stop - r.start for r in ranges}, rows)
    return [OffsetRange(r.source, r.start, r.start + shares[r.source]) for r in ranges]


class RangeReader:
    """A `read_committed` reader of assigned partitions. Use it as a context manager, or close it.

    Every method raises RefusedByKafka when Kafka refuses for good, and DependencyUnreachable when the brokers do not
    answer within `answer_s`. Other errors of single partitions are waited out; if that is in vain, `ReadStalled` names
    the last one.
    """

    def __init__(
        self,
        connection: Connection,
        purpose: str,
        *,
        group: str | None = None,
        answer_s: float = 10.0,
        stall_s: float = 30.0,
        quiet: bool = False,
    ) -> None:
        """`purpose`, such as "the history", stands in error texts. `group` is never joined, but Kafka may check the
        right to use it; the default is a new name. `quiet` silences librdkafka's own log.

        Raises ConfigError for properties that librdkafka refuses, without showing a secret's value.
        """
        self._connection = connection
        self._purpose = purpose
        self._answer_s = answer_s
        self._stall_s = stall_s
        self._refusal: RefusedByKafka | None = None
        self._last_error = ""
        config = consumer_properties(
            connection.bootstrap, group or f"offbeat-reader-{uuid.uuid4().hex}", connection.properties
        )
        # If retention deletes the start of a range, reading goes on behind the gap: there is no committed offset to
        # lose here.
        config |= {"auto.offset.reset": "earliest", "error_cb": self._on_error}
        if quiet:
            config["log_level"] = 0
        try:
            self._consumer = Consumer(config)
        except (KafkaException, ValueError, TypeError) as error:
            raise ConfigError(f"{connection.properties_option}: {self._without_secrets(error)}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._consumer.close()

    def topics(self, wanted: Collection[str] = ()) -> dict[str, int]:
        """The number of partitions of every topic in the cluster.

        Topics for which the brokers report an error are left out, unless they are `wanted`: then the error is raised.
        """
        with self._query():
            # All topics, never one by name: asking for a topic by name may create it.
            listed = self._consumer.list_topics(timeout=self._answer_s).topics
            for name in wanted:
                if name in listed and listed[name].error is not None:
                    raise KafkaException(listed[name].error)
        return {name: len(topic.partitions) for name, topic in listed.items() if topic.error is None}

    def ranges(self, sources: Sequence[TopicPartition], since_ms: int | None = None) -> list[OffsetRange]:
        """All offsets of each partition up to the last committed record, as of now.

        With `since_ms` (ms since 1970) only from the first record on whose timestamp is not before it.
        """
        with self._query():
            return [self._range(source, since_ms) for source in sources]

    def _range(self, source: TopicPartition, since_ms: int | None) -> OffsetRange:
        low, high = self._consumer.get_watermark_offsets(KafkaPartition(*source), self._answer_s)
        if since_ms is not None:
            query = KafkaPartition(source.topic, source.partition, since_ms)
            offset = self._consumer.offsets_for_times([query], self._answer_s)[0].offset
            low = offset if offset >= 0 else high
        return OffsetRange(source, low, high)

    def read(self, ranges: Sequence[OffsetRange], progress: Progress | None = None) -> Iterator[Records]:
        """The records of all ranges, in batches of one partition each; a partition's batches come in offset order.

        `progress` is called after each poll. Raises ReadStalled when nothing came for `stall_s`; the batches up to
        then are still good.
        """
        # An empty range is at its end already.
        position = {r.source: r.start for r in ranges if r.start < r.stop}
        start, stop = dict(position), {r.source: r.stop for r in ranges}
        total = sum(stop[source] - start[source] for source in start)
        pending = set(position)
        self.follow(position)
        last_arrival = time.monotonic()
        while pending:
            batches, ends = self._poll(BATCH, BATCH_S)
            for records in batches:
                source = records.source
                if source not in pending:
                    continue
                position[source] = max(position[source], int(records.offsets[-1]) + 1)
                within = int(records.offsets.searchsorted(stop[source]))
                if within:
                    yield records.slice(0, within)
            for source in ends.keys() & pending:
                # The last offsets of a range may hold no record: a transaction's marker, or compaction.
                position[source] = max(position[source], ends[source])
            done = {source for source in pending if position[source] >= stop[source]}
            if done:
                self._consumer.pause([KafkaPartition(*source) for source in sorted(done)])
                pending -= done
            if progress is not None:
                progress(sum(min(position[source], stop[source]) - start[source] for source in start), total)
            if batches or done:
                last_arrival = time.monotonic()
            elif time.monotonic() - last_arrival > self._stall_s:
                waiting = ", ".join(f"{topic}/{number}" for topic, number in sorted(pending))
                raise ReadStalled(
                    f"{self._connection.bootstrap_option}: no records of {waiting} arrived for {self._stall_s:.0f} s"
                    f"{self._last_error}"
                )

    def follow(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Fetch these partitions, and no others, from these offsets on: `poll` then returns their records."""
        # Assigned by hand: no group is joined, and no other consumer's partitions move.
        parts = [KafkaPartition(*source, offsets[source]) for source in sorted(offsets)]
        self._consumer.assign(parts)
        self._consumer.resume(parts)  # a pause outlives an assignment in the client

    def poll(self, limit: int, seconds: float) -> list[Records]:
        """The records of followed partitions that arrive within `seconds`, at most `limit`, grouped by partition."""
        return self._poll(limit, seconds)[0]

    def _poll(self, limit: int, seconds: float) -> tuple[list[Records], dict[TopicPartition, int]]:
        """Records by partition, and the offsets of those partitions whose end was reached."""
        good: list[Message] = []
        ends: dict[TopicPartition, int] = {}
        with self._query():
            messages = self._consumer.consume(limit, seconds)
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[TopicPartition(message.topic() or "", message.partition() or 0)] = message.offset() or 0
            else:
                final = detect_refusal(error, f"topic {message.topic()!r}")
                if final is not None:
                    raise final
                self._last_error = f"; {message.topic()}/{message.partition()}: {error.str()}"
        if self._refusal is not None:
            raise self._refusal
        return list(group_by_partition(good)) if good else [], ends

    def _on_error(self, error: KafkaError) -> None:
        self._refusal = self._refusal or detect_refusal(error, self._purpose)

    @contextmanager
    def _query(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            with suppress(KafkaException):
                self._consumer.consume(100, 0)  # which calls back with the reasons, such as a wrong password
            final = self._refusal or detect_refusal(error, self._purpose)
            if final is not None:
                raise final from error
            connection = self._connection
            raise DependencyUnreachable(
                f"{connection.bootstrap_option}: no answer from {connection.bootstrap} "
                f"within {self._answer_s:.0f} s: {error.args[0].str()}"
            ) from error

    def _without_secrets(self, error: Exception) -> str:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        for name, value in self._connection.properties.items():
            if is_secret(name) and str(value):
                reason = reason.replace(str(value), "***")
        return reason
