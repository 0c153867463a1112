"""Infers features from a table, for `offbeat profile`, `demo --data` and `evaluate` without a configuration.

A column's kind follows from the types of all its values, which are its schema. Everything that depends on the
distribution of the values (transform, encoding, whether they repeat) follows from the first `head` rows alone, so that
an evaluation does not look ahead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from training.profile.data_warnings import FREE_TEXT_WORDS, UNIQUE_VALUES
from training.profile.evidence.codes import describe_code
from training.profile.evidence.periods import choose_periods, parse_times
from training.profile.evidence.texts import find_unreadable_numbers
from training.profile.evidence.transforms import choose_transform
from training.tables.table import Table
from training.tables.values import drop_missing, is_time_text, types_of
from worker.core.events.columns import category
from worker.errors import ConfigError

MAX_FEATURES = 500
_MAX_NAME = 256
_CLOCK_ROWS = 32
_CLOCK_DISTINCT = 0.95
_UNIQUE_DISTINCT = 0.9
_MAX_LEVELS = 100_000
_HASH_LEVELS = 64
_DATE_LENGTH = 10
_UNREADABLE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
"""Characters that the worker's decoder does not accept in a key."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A feature as it stands in a configuration, or None and the reason why the column cannot be one.

    `scalar` is False if the worker could not read the field at all, not even as entity or time. `more` are further
    features of the same field. `later` are those that the user may add under the condition that `reason` names. `note`
    says why the feature is one of this kind, where that is not plain.
    """

    feature: dict[str, Any] | None
    reason: str = ""
    scalar: bool = True
    more: tuple[dict[str, Any], ...] = ()
    later: tuple[dict[str, Any], ...] = ()
    note: str = ""

    @property
    def features(self) -> list[dict[str, Any]]:
        return [] if self.feature is None else [self.feature, *self.more]


def infer_features(table: Table, head: int | None = None) -> list[dict[str, Any]]:
    """Infer at most 500 features. Raises ConfigError with a reason for each column if none can be a feature."""
    verdicts = classify_columns(table.columns, head)
    features = [feature for verdict in verdicts.values() for feature in verdict.features]
    if not features:
        reasons = "; ".join(f"{name[:100]}: {verdict.reason}" for name, verdict in verdicts.items())
        raise ConfigError(f"no column can be a feature: {reasons or 'there are no columns'}")
    return features[:MAX_FEATURES]


def classify_columns(columns: Mapping[str, Sequence[Any]], head: int | None = None) -> dict[str, Verdict]:
    """Decide for each column, (n,) values by dotted path, which feature it can be."""
    clashing = find_clashes(columns)
    return {
        name: Verdict(None, clashing[name], scalar=False) if name in clashing else _classify(name, values, head)
        for name, values in columns.items()
    }


def _classify(name: str, values: Sequence[Any], head: int | None) -> Verdict:
    if not 0 < len(name) <= _MAX_NAME or _UNREADABLE.search(name):
        return Verdict(None, f"its name; allowed: 1 to {_MAX_NAME} characters, no quotes, backslashes, controls", False)
    known = drop_missing(values)
    if not known:
        return Verdict(None, "always missing")
    types = types_of(known)
    if "list" in types:
        return Verdict(None, "lists are not supported", False)
    first = known if head is None else drop_missing(values[:head])
    if types == {"boolean"}:
        return Verdict({"field": name, "kind": "boolean"})
    if types <= {"integer", "number"}:
        if _is_clock(first):
            return Verdict(None, "a clock or a counter: it only grows")
        code = describe_code(name, first) if types == {"integer"} else ""
        if code:
            return Verdict({"field": name, "kind": "categorical"}, note=code)
        transform = choose_transform(first)
        return Verdict({"field": name, "kind": "numeric"} | ({"transform": transform} if transform != "none" else {}))
    if types == {"text"} and is_time_text(known):
        return judge_time(name, first)
    unreadable = find_unreadable_numbers(known, first)
    return Verdict(None, unreadable) if unreadable else _categorical(name, first)


def judge_time(name: str, known: Sequence[Any]) -> Verdict:
    """The time of day and the day of the week of a time, if its known values (n,) cover enough of them.

    Values are ISO 8601 texts, or numbers in seconds or milliseconds since 1970. Raises ValueError for any other.
    """
    whole_days = all(isinstance(value, str) and len(value) == _DATE_LENGTH for value in known)
    chosen, later, reason = choose_periods(name, parse_times(known), whole_days=whole_days)
    if not chosen:
        return Verdict(None, f"a time: {reason}", later=tuple(later))
    return Verdict(chosen[0], reason, more=tuple(chosen[1:]), later=tuple(later))


def _categorical(name: str, known: list[Any]) -> Verdict:
    distinct = len(set(map(category, known)))
    if distinct > UNIQUE_VALUES and distinct > _UNIQUE_DISTINCT * len(known):
        words = sum(len(str(value).split()) for value in known) / len(known)
        if words >= FREE_TEXT_WORDS:
            return Verdict(None, f"free text, {words:.0f} words on average: its values hardly ever repeat")
        return Verdict(None, "an identifier: its values hardly ever repeat")
    encoding = {"encoding": "hash", "levels": _HASH_LEVELS} if distinct > _MAX_LEVELS else {}
    return Verdict({"field": name, "kind": "categorical", **encoding})


def _is_clock(known: list[Any]) -> bool:
    if len(known) < _CLOCK_ROWS or len(set(known)) <= _CLOCK_DISTINCT * len(known):
        return False
    return all(before <= after for before, after in pairwise(known))


def find_clashes(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Find the paths that are an object in some events and a value or null in others, with the reason.

    Of two paths that clash, the result has the rarer one, because the worker can read only one of them.
    """
    clashes: dict[str, str] = {}
    related = _nested_paths(columns)
    counts = {name: len(drop_missing(values)) for name, values in columns.items() if name in related}
    for name in counts:
        for parent in _parents(name):
            if parent in counts and parent not in clashes and name not in clashes:
                rarer = min(name, parent, key=counts.__getitem__)
                value = "a value" if counts[parent] else "null"
                clashes[rarer] = f"{parent} is {value} in some events and an object with {name} in others"
    return clashes


def _nested_paths(columns: Mapping[str, Sequence[Any]]) -> set[str]:
    """The paths of which one leads through another."""
    pairs = ((name, parent) for name in columns for parent in _parents(name) if parent in columns)
    return {path for pair in pairs for path in pair}


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]
