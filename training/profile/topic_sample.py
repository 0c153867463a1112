"""Turns a sample of a topic's records into a table to profile."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from confluent_kafka import Message

from training.history.topic_reader import Records, Request
from training.profile.profile import Source
from training.profile.proposal import TRIED_RECORDS
from training.tables.json_records import FieldColumns, decode
from training.tables.table import make_table
from worker.errors import ConfigError


def make_source(request: Request, records: Records, label: str | None) -> Source:
    """Collect the records in order of their timestamps, so that a field that grows with time also grows here.

    Raises ConfigError if no record is a JSON object, or if none has the label field.
    """
    columns, kept, bad = FieldColumns(), [], []
    for message in sorted(records.messages, key=lambda m: (m.timestamp()[1], m.partition(), m.offset())):
        value = message.value()
        if value is None:
            continue
        try:
            columns.add(decode(value))
            kept.append(message)
        except ValueError as error:
            bad.append(f"partition {message.partition()}, offset {message.offset()}: {error}")
    if not kept:
        reason = f"none of {len(bad):,} records is a JSON object, for example {bad[0]}" if bad else "no records"
        raise ConfigError(f"--topic: {request.topic}: {reason}")
    notes = []
    if bad:
        count = len(bad) + len(kept)
        notes.append(f"{len(bad):,} of {count:,} records are not JSON objects, for example {bad[0]}")
    if records.stalled:
        notes.append("the brokers stopped sending before the sample was complete")
    return Source(
        request.topic,
        make_table(columns.finish(), label, (), request.topic, (*notes, *columns.notes)),
        request.topic,
        request.bootstrap,
        request.properties,
        timestamps=np.array([_timestamp(message) for message in kept], np.float64),
        partitions=np.array([message.partition() for message in kept], np.int64),
        values=[message.value() or b"" for message in kept[:TRIED_RECORDS]],
        keyed=_keys_recur([message.key() for message in kept]),
    )


def _timestamp(message: Message) -> float:
    """Milliseconds since 1970, NaN for a record without a timestamp."""
    kind, timestamp = message.timestamp()
    return float(timestamp) if kind and timestamp > 0 else float("nan")


def _keys_recur(keys: list[Any]) -> bool:
    """Whether nearly all records have a key, and each key occurs twice or more on average."""
    counts = Counter(key for key in keys if key is not None)
    return len(counts) > 1 and counts.total() >= 0.95 * len(keys) and counts.total() >= 2 * len(counts)
