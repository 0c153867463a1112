"""Reads a sample of a topic's records, its newest or earliest ones, as a table to profile.

The reader joins no consumer group and commits nothing.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from training.profile.profile import Source
from training.profile.proposal import TRIED_RECORDS
from training.tables.json_records import FieldColumns, decode
from training.tables.table import make_table
from worker.adapters.kafka_range_reader import Connection, Progress, RangeReader, ReadStalled, earliest, newest
from worker.errors import ConfigError
from worker.ports.log import TopicPartition

_ANSWER_S = 10.0
_STALL_S = 15.0


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """Which records to read: at most `rows` of `topic`, the `newest` or the earliest, spread over its partitions."""

    topic: str
    bootstrap: str
    properties: Mapping[str, str] = field(repr=False)  # there may be passwords in it
    rows: int
    newest: bool = True


class _Record(NamedTuple):
    """`timestamp` in ms since 1970, -1 for none. The fields are in the order in which records are sorted."""

    timestamp: int
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


def read_sample(
    request: SampleRequest, label: str | None, progress: Progress | None = None, answer_s: float = _ANSWER_S
) -> Source:
    """Read the sample, in order of the records' timestamps, so that a field that grows with time also grows here.

    Raises ConfigError for client properties that librdkafka rejects, for a topic that does not exist or holds no JSON
    object, and for a label field that no record has; DependencyUnreachable if no broker answers within `answer_s`
    seconds; RefusedByKafka.
    """
    records, stalled = _read_records(request, progress, answer_s)
    columns, kept, bad = FieldColumns(), [], []
    for record in sorted(records, key=lambda record: record[:3]):
        if record.value is None:
            continue
        try:
            columns.add(decode(record.value))
            kept.append(record)
        except ValueError as error:
            bad.append(f"partition {record.partition}, offset {record.offset}: {error}")
    if not kept:
        reason = f"none of {len(bad):,} records is a JSON object, for example {bad[0]}" if bad else "no records"
        raise ConfigError(f"--topic: {request.topic}: {reason}")
    notes = []
    if bad:
        count = len(bad) + len(kept)
        notes.append(f"{len(bad):,} of {count:,} records are not JSON objects, for example {bad[0]}")
    if stalled:
        notes.append(f"the brokers stopped sending before the sample was complete: {stalled}")
    return Source(
        request.topic,
        make_table(columns.finish(), label, (), request.topic, (*notes, *columns.notes)),
        request.topic,
        request.bootstrap,
        request.properties,
        timestamps=np.array([record.timestamp if record.timestamp > 0 else np.nan for record in kept], np.float64),
        partitions=np.array([record.partition for record in kept], np.int64),
        values=[record.value or b"" for record in kept[:TRIED_RECORDS]],
        keyed=_keys_recur([record.key for record in kept]),
    )


def _read_records(request: SampleRequest, progress: Progress | None, answer_s: float) -> tuple[list[_Record], str]:
    """The records, and why they are not all that were requested; empty if they are."""
    connection = Connection(request.bootstrap, request.properties, "--bootstrap-servers", "-X")
    group = f"offbeat-profile-{uuid.uuid4().hex}"
    sample: list[_Record] = []
    with RangeReader(connection, "the sample", group=group, answer_s=answer_s, stall_s=_STALL_S, quiet=True) as reader:
        topics = reader.topics(wanted=[request.topic])
        if request.topic not in topics:
            near = get_close_matches(request.topic, topics, 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; it has {len(topics)} topics"
            raise ConfigError(f"--topic: there is no {request.topic!r} at {request.bootstrap}{hint}")
        sources = [TopicPartition(request.topic, number) for number in range(topics[request.topic])]
        ranges = reader.ranges(sources)
        ranges = newest(ranges, request.rows) if request.newest else earliest(ranges, request.rows)
        try:
            for records in reader.read(ranges, progress):
                stamps, offsets = records.timestamps.tolist(), records.offsets.tolist()
                for i, value in enumerate(records.values):
                    sample.append(_Record(stamps[i], records.source.partition, offsets[i], records.key(i), value))
        except ReadStalled as error:
            return sample, str(error)
    return sample, ""


def _keys_recur(keys: list[bytes | None]) -> bool:
    """Whether nearly all records have a key, and each key occurs twice or more on average."""
    counts = Counter(key for key in keys if key is not None)
    return len(counts) > 1 and counts.total() >= 0.95 * len(keys) and counts.total() >= 2 * len(counts)
