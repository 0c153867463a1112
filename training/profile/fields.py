"""Describes the fields of a sample: their types, missing values, distribution and warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.profile.data_warnings import UNIQUE_VALUES, DataWarning, find_warnings
from training.profile.evidence.names import IDENTIFIER_WORDS, words_of
from training.profile.infer import Verdict
from training.tables.values import drop_missing, is_time_text, type_name
from worker.core.events.columns import category

_MAX_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the sample.

    `types` counts the known values by type, `missing` is the share of missing ones, and `distinct` the number of
    different ones, None if some are lists. `summary` describes the values in one line.
    """

    name: str
    types: dict[str, int]
    missing: float
    distinct: int | None
    verdict: Verdict
    summary: str
    warnings: tuple[DataWarning, ...]

    @property
    def kind(self) -> str:
        return str(self.verdict.feature["kind"]) if self.verdict.feature is not None else "none"

    @property
    def is_counter(self) -> bool:
        return any(warning.code == "counter" for warning in self.warnings)

    @property
    def is_time(self) -> bool:
        """Whether its values are ISO 8601 texts."""
        return any(feature["kind"] == "cyclic" for feature in (*self.verdict.features, *self.verdict.later))

    @property
    def is_identifier(self) -> bool:
        """Whether the values are unique integers and the name says that they identify something."""
        unique = set(self.types) == {"integer"} and self.distinct == self.types["integer"] > UNIQUE_VALUES
        return unique and not IDENTIFIER_WORDS.isdisjoint(words_of(self.name))

    @property
    def readable_as(self) -> dict[str, Any] | None:
        """The feature to configure if the user wants this field despite the verdict; None if it cannot be read."""
        if not self.types or not self.verdict.scalar:
            return None
        if self.verdict.later:
            return self.verdict.later[0]
        kinds = set(self.types)
        numbers = kinds <= {"integer", "number"}
        return {
            "field": self.name,
            "kind": "numeric" if numbers else "boolean" if kinds == {"boolean"} else "categorical",
        }


def describe_field(name: str, values: Sequence[Any], verdict: Verdict) -> Field:
    """Describe a field from its (n,) values, n >= 1, and from the verdict of `training.profile.infer`."""
    known = drop_missing(values)
    types: Counter[str] = Counter()
    for kind, count in Counter(map(type, known)).items():
        types[type_name(kind)] += count
    counts = Counter(map(category, known)) if "list" not in types else None
    missing = 1.0 - len(known) / len(values)
    warnings = tuple(find_warnings(name, known, types, counts))
    distinct = len(counts) if counts is not None else None
    return Field(name, dict(types), missing, distinct, verdict, _summarize(known, types, counts), warnings)


def _summarize(known: list[Any], types: Counter[str], counts: Counter[str | None] | None) -> str:
    if not known or counts is None:
        return "lists" if known else "always missing"
    if set(types) <= {"integer", "number"}:
        ordered = sorted(known)
        lowest, median, highest = (_format_number(ordered[place]) for place in (0, len(ordered) // 2, -1))
        return f"{lowest} … {highest}, median {median}"
    if set(types) == {"text"} and is_time_text(known):
        return f"{min(known)[:_MAX_SHOWN]} … {max(known)[:_MAX_SHOWN]}"
    top, count = counts.most_common(1)[0]
    text = str(top) if len(str(top)) <= _MAX_SHOWN else str(top)[:_MAX_SHOWN] + "…"
    return f"{len(counts):,} values, most often {text!r} ({count / len(known):.0%})"


def _format_number(value: Any) -> str:
    return str(value) if isinstance(value, int) and abs(value) < 10**18 else f"{value:.6g}"
