"""Warnings about the values of a field, each with a stable code for programs."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from training.tables.values import is_time_text

UNIQUE_VALUES = 50
"""In a small sample, this many values may all be different by accident."""
_FREE_TEXT_WORDS = 3.0
_GROWTH_MIN_VALUES = 32
_GROWTH_SHARE = 0.9
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_YEARS_MS = (946_684_800_000, 4_102_444_800_000)
"""The years 2000 and 2100 in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class DataWarning:
    """`code` is lower case, words joined by dashes. `field` is None for a warning about the whole sample."""

    code: str
    text: str
    field: str | None = None

    def __str__(self) -> str:
        return self.text if self.field is None else f"{self.field}: {self.text}"


def find_warnings(
    name: str, known: list[Any], types: Counter[str], counts: Counter[str | None] | None
) -> list[DataWarning]:
    """The warnings about one field, from its `known` values and from their counts by type and by value.

    `counts` is None if some values are lists.
    """
    if not known:
        return [DataWarning("missing", "always missing", name)]
    if counts is None:
        return [DataWarning("lists", "lists are not supported", name)]
    warnings = [("constant", "constant in this sample")] if len(counts) == 1 else []
    kinds = {"number" if kind == "integer" else kind for kind in types}
    if len(kinds) > 1:
        warnings.append(("mixed", f"mixed types: {', '.join(f'{count:,} {kind}' for kind, count in types.items())}"))
    elif kinds == {"text"}:
        warnings += _text_warnings(known, counts)
    elif kinds == {"number"}:
        warnings += _number_warnings(known, types, counts)
    return [DataWarning(code, text, name) for code, text in warnings]


def _text_warnings(known: list[str], counts: Counter[str | None]) -> list[tuple[str, str]]:
    if is_time_text(known):
        whole_days = all(len(value) == 10 for value in known)
        return [("dates", "dates without a time of day: use `period: week`, not `day`")] if whole_days else []
    words = sum(len(value.split()) for value in known) / len(known)
    if len(counts) > max(UNIQUE_VALUES, len(known) // 2) and words >= _FREE_TEXT_WORDS:
        return [("free-text", f"free text, {words:.0f} words on average")]
    warnings = [("unique", "an identifier: no value repeats")] if len(counts) == len(known) > UNIQUE_VALUES else []
    if all(map(_NUMBER.fullmatch, counts)):  # type: ignore[arg-type]
        warnings.append(("number-text", "numbers written as text: they are treated as categories"))
    return warnings


def _number_warnings(known: list[Any], types: Counter[str], counts: Counter[str | None]) -> list[tuple[str, str]]:
    if _grows(known, len(counts)):
        warnings = [
            (
                "counter",
                "grows steadily, like a clock or a counter: it will leave the range that the model has seen",
            )
        ]
        first, last = _YEARS_MS
        if any(first * finer <= min(known) and max(known) <= last * finer for finer in (1_000, 1_000_000)):
            warnings.append(
                ("unit", "perhaps micro- or nanoseconds since 1970; times must be in seconds or milliseconds")
            )
        return warnings
    if set(types) == {"integer"} and len(counts) == len(known) > UNIQUE_VALUES:
        return [("unique", "perhaps an identifier: whole numbers, none of which repeats")]
    return []


def _grows(known: list[Any], distinct: int) -> bool:
    """Whether the total rise is nearly all of the total change from value to value."""
    if distinct < _GROWTH_MIN_VALUES:
        return False
    # Summed as Python numbers, because a float64 cannot resolve nanoseconds since 1970.
    change = sum(abs(after - before) for before, after in pairwise(known))
    return bool(change > 0 and known[-1] - known[0] >= _GROWTH_SHARE * change)
