"""Records of a topic as a table to profile."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from confluent_kafka import Message

from training.history.topic_reader import Records, Request
from training.profile.profile import Source
from training.profile.proposal import TRIED
from training.tables.json_records import FieldColumns, decode
from training.tables.table import table_of
from worker.errors import ConfigError


def source_of(request: Request, found: Records, label: str | None) -> Source:
    """In order of the records' timestamps, so that a field that grows with time does so here.

    Raises ConfigError where no record is a JSON object, and for a label field that none has.
    """
    columns, kept, bad = FieldColumns(), [], []
    for message in sorted(found.messages, key=lambda m: (m.timestamp()[1], m.partition(), m.offset())):
        value = message.value()
        if value is None:
            continue
        try:
            columns.add(decode(value))
            kept.append(message)
        except ValueError as error:
            bad.append(f"partition {message.partition()}, offset {message.offset()}: {error}")
    if not kept:
        what = f"none of {len(bad):,} records is a JSON object, such as {bad[0]}" if bad else "no records"
        raise ConfigError(f"--topic: {request.topic}: {what}")
    notes = [f"{len(bad):,} of {len(bad) + len(kept):,} records are not JSON objects, such as {bad[0]}"] if bad else []
    notes += ["the brokers stopped sending before the sample was complete"] if found.stalled else []
    return Source(
        request.topic,
        table_of(columns.finish(), label, (), request.topic, (*notes, *columns.notes)),
        request.topic,
        request.bootstrap,
        request.properties,
        stamps=np.array([_stamp(message) for message in kept], np.float64),
        partitions=np.array([message.partition() for message in kept], np.int64),
        values=[message.value() or b"" for message in kept[:TRIED]],
        keyed=_keyed([message.key() for message in kept]),
    )


def _stamp(message: Message) -> float:
    kind, stamp = message.timestamp()
    return float(stamp) if kind and stamp > 0 else float("nan")


def _keyed(keys: list[Any]) -> bool:
    """Nearly all records have a key, and keys come again and again."""
    counts = Counter(key for key in keys if key is not None)
    return len(counts) > 1 and counts.total() >= 0.95 * len(keys) and counts.total() >= 2 * len(counts)
