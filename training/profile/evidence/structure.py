"""Recognises how events are built: objects that are null in some events, and change events of a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.tables.values import drop_missing

MAX_NULL = 0.05
"""A field in an object that is null more often than this is left out: the worker rejects an event with such a null."""


def find_null_objects(columns: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    """The paths that are an object in some events and null in others, each with the share of events without the object.

    `columns` holds (n,) values by dotted path. A path has a column of its own only if it is not always an object.
    """
    shares = {}
    for parent in columns:
        inside = [values for name, values in columns.items() if name.startswith(f"{parent}.")]
        if not inside or drop_missing(columns[parent]):
            continue
        empty = sum(all(value is None for value in row) for row in zip(*inside, strict=True))
        shares[parent] = empty / len(columns[parent])
    return shares


def describe_change_events(columns: Mapping[str, Sequence[Any]]) -> str:
    """What to do about change events in the format of Debezium; empty if the columns are none."""
    tops = {name.split(".", 1)[0] for name in columns}
    if not {"op", "after"} <= tops or not ({"before", "source", "ts_ms"} & tops):
        return ""
    return (
        "these are change events, as Debezium writes them: `before` is null for an insert, `after` for a delete, and "
        "the worker rejects an event if it reads a field inside a null object. Let the connector unwrap them "
        "(ExtractNewRecordState), and profile the result"
    )
