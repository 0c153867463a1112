"""The known values of a table's column, and their types."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from worker.core.events.event_time import milliseconds

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def drop_missing(values: Iterable[Any]) -> list[Any]:
    """Return the values that are neither None nor NaN."""
    return [value for value in values if value is not None and value == value]


def types_of(values: Iterable[Any]) -> set[str]:
    """Return which of `boolean`, `integer`, `number`, `text` and `list` (for any other type) occur; None is ignored."""
    return {type_name(kind) for kind in set(map(type, values)) if kind is not type(None)}


def type_name(kind: type[Any]) -> str:
    names = {"boolean": (bool, np.bool_), "integer": (int, np.integer), "number": (float, np.floating), "text": (str,)}
    return next((name for name, kinds in names.items() if issubclass(kind, kinds)), "list")


def is_time_text(known: Iterable[str]) -> bool:
    """Return whether all are ISO 8601 dates or times. Texts such as 20260101 do not count: they may be numbers."""
    try:
        for value in known:
            if not _DATE.match(value):
                return False
            milliseconds(value)
    except (ValueError, OverflowError):
        return False
    return True
