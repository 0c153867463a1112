"""A feature list from a table: what `offbeat profile`, `demo --data` and `evaluate` use where no configuration says it.

What a column is follows from the types of all its values: that is its schema. What depends on how the values are
spread (transform, encoding, whether it repeats) follows from the first `head` rows alone, so that an evaluation does
not look ahead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from training.tables.table import Table
from training.tables.values import is_time_text, present, types_of
from worker.core.events.columns import category
from worker.errors import ConfigError

MAX_FEATURES = 500
_MAX_NAME = 256
_CLOCK_ROWS = 32
_CLOCK_DISTINCT = 0.95
_UNIQUE_DISTINCT = 0.9
_UNIQUE_VALUES = 50
_LEVELS_AT_MOST = 100_000
_HASH_LEVELS = 64
_SKEWED = 3.0
_SMALL = 100.0
_TAIL_ROWS = 20_000
"""As many show the tail; a longer look at a long file would only find more reasons for a transform."""
_UNREADABLE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
"""What the worker's decoder takes in no key."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A feature as a configuration writes it, or None and the reason why the column is not one.

    `scalar` says whether the worker could read the field at all, as entity or time if not as a feature.
    """

    feature: dict[str, Any] | None
    reason: str = ""
    scalar: bool = True


def infer_features(table: Table, head: int | None = None) -> list[dict[str, Any]]:
    """At most 500 features; raises ConfigError with a reason for each column where none is left."""
    verdicts = judge(table.columns, head)
    features = [verdict.feature for verdict in verdicts.values() if verdict.feature is not None]
    if not features:
        reasons = "; ".join(f"{name[:100]}: {verdict.reason}" for name, verdict in verdicts.items())
        raise ConfigError(f"no column can be a feature: {reasons or 'there are no columns'}")
    return features[:MAX_FEATURES]


def judge(columns: Mapping[str, Sequence[Any]], head: int | None = None) -> dict[str, Verdict]:
    """A verdict for each column, (n,) values by dotted path."""
    clashing = clashes(columns)
    return {
        name: Verdict(None, clashing[name], scalar=False) if name in clashing else _judge(name, values, head)
        for name, values in columns.items()
    }


def _judge(name: str, values: Sequence[Any], head: int | None) -> Verdict:
    if not 0 < len(name) <= _MAX_NAME or _UNREADABLE.search(name):
        return Verdict(None, f"its name; allowed: 1 to {_MAX_NAME} characters, no quotes, backslashes, controls", False)
    known = present(values)
    if not known:
        return Verdict(None, "never there")
    types = types_of(known)
    if "list" in types:
        return Verdict(None, "lists: only single values are read", False)
    shown = known if head is None else present(values[:head])
    if types == {"boolean"}:
        return Verdict({"field": name, "kind": "boolean"})
    if types <= {"integer", "number"}:
        if _is_clock(shown):
            return Verdict(None, "a clock or a counter: it only grows")
        return Verdict({"field": name, "kind": "numeric", **_transform(shown)})
    if types == {"text"} and is_time_text(known):
        return Verdict({"field": name, "kind": "cyclic", "period": "day"})
    return _categorical(name, shown)


def _categorical(name: str, shown: list[Any]) -> Verdict:
    distinct = len(set(map(category, shown)))
    if distinct > _UNIQUE_VALUES and distinct > _UNIQUE_DISTINCT * len(shown):
        return Verdict(None, "an identifier or free text: its values hardly ever repeat")
    hashed = {"encoding": "hash", "levels": _HASH_LEVELS} if distinct > _LEVELS_AT_MOST else {}
    return Verdict({"field": name, "kind": "categorical", **hashed})


def _is_clock(shown: list[Any]) -> bool:
    if len(shown) < _CLOCK_ROWS or len(set(shown)) <= _CLOCK_DISTINCT * len(shown):
        return False
    return all(before <= after for before, after in pairwise(shown))


def _transform(shown: list[Any]) -> dict[str, str]:
    """`log` where the upper tail is far longer than the body, `asinh` where it is so on both sides of zero."""
    values = np.array(shown[:_TAIL_ROWS], np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return {}
    signed = bool(values.min() < 0)
    sizes = np.sort(np.abs(values))
    middle, high, top = (float(sizes[int(q * (len(sizes) - 1))]) for q in (0.5, 0.9, 0.999))
    if not (top - middle > _SKEWED * 3 * max(high - middle, 1e-12) and top > _SMALL):
        return {}
    return {"transform": "asinh" if signed else "log"}


def clashes(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Paths that are a value or null in some events and an object in others: the worker can read one of the two."""
    found: dict[str, str] = {}
    related = _related(columns)
    counts = {name: len(present(values)) for name, values in columns.items() if name in related}
    for name in counts:
        for parent in _parents(name):
            if parent in counts and parent not in found and name not in found:
                rarer = min(name, parent, key=counts.__getitem__)
                what = "a value" if counts[parent] else "null"
                found[rarer] = f"{parent} is {what} in some events and in others an object with {name}"
    return found


def _related(columns: Mapping[str, Sequence[Any]]) -> set[str]:
    pairs = ((name, parent) for name in columns for parent in _parents(name) if parent in columns)
    return {path for pair in pairs for path in pair}


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]
