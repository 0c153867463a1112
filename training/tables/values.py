"""What a column of a table holds: the values that are there, and of which types they are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from worker.core.events.event_time import milliseconds

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def present(values: Iterable[Any]) -> list[Any]:
    """The values that are there: neither None nor nan."""
    return [value for value in values if value is not None and value == value]


def types_of(values: Iterable[Any]) -> set[str]:
    """Which of `boolean`, `integer`, `number`, `text` and `list` (anything else) there are."""
    return {type_name(kind) for kind in set(map(type, values)) if kind is not type(None)}


def type_name(kind: type[Any]) -> str:
    names = {"boolean": (bool, np.bool_), "integer": (int, np.integer), "number": (float, np.floating), "text": (str,)}
    return next((name for name, kinds in names.items() if issubclass(kind, kinds)), "list")


def is_time_text(known: Iterable[str]) -> bool:
    """Whether all are dates or times in ISO 8601; texts such as 20260101 may be numbers just as well and are not."""
    try:
        for value in known:
            if not _DATE.match(value):
                return False
            milliseconds(value)
    except (ValueError, OverflowError):
        return False
    return True
