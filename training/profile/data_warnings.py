"""Warnings about the values of a field, each with a stable code for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.profile.evidence.counters import looks_like_counter
from training.profile.evidence.shifts import find_shift
from training.profile.evidence.texts import find_case_variants, is_blank, is_number_text, show
from training.tables.values import is_time_text

UNREADABLE_UNIT = "which the worker refuses as a time: let the producer write seconds, milliseconds or ISO 8601"
UNIQUE_VALUES = 50
"""In a small sample, this many values may all be different by accident."""
FREE_TEXT_WORDS = 3.0
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
    warnings = [("constant", "constant in this sample, so that any other value is unusual")] if len(counts) == 1 else []
    kinds = {"number" if kind == "integer" else kind for kind in types}
    if len(kinds) > 1:
        warnings.append(("mixed", f"mixed types: {', '.join(f'{count:,} {kind}' for kind, count in types.items())}"))
        warnings += _blank_warnings(known)
    elif kinds == {"text"}:
        warnings += _text_warnings(known, counts)
    elif kinds == {"number"}:
        warnings += _number_warnings(known, types, counts)
    return [DataWarning(code, text, name) for code, text in warnings]


def _text_warnings(known: list[str], counts: Counter[str | None]) -> list[tuple[str, str]]:
    if is_time_text(known):
        whole_days = all(len(value) == 10 for value in known)
        return [("dates", "dates without a time of day")] if whole_days else []
    words = sum(len(value.split()) for value in known) / len(known)
    if len(counts) > max(UNIQUE_VALUES, len(known) // 2) and words >= FREE_TEXT_WORDS:
        return [("free-text", f"free text, {words:.0f} words on average")]
    warnings = [("unique", "an identifier: no value repeats")] if len(counts) == len(known) > UNIQUE_VALUES else []
    if all(is_number_text(level) or is_blank(level) for level in counts) and any(map(is_number_text, counts)):
        warnings.append(("number-text", "numbers written as text, which the worker reads as categories"))
    warnings += _blank_warnings(known)
    variants = find_case_variants(counts)
    if variants and len(counts) < UNIQUE_VALUES:
        warnings.append(("case", f"levels that differ only in case are different to the model: {show(variants)}"))
    return warnings


def _blank_warnings(known: list[Any]) -> list[tuple[str, str]]:
    blanks = sum(map(is_blank, known))
    if not 0 < blanks < len(known):
        return []
    share = blanks / len(known)
    return [("blanks", f"{share:.1%} are blanks, such as '', '-' or 'NaN': to the worker a text, not a missing value")]


def _number_warnings(known: list[Any], types: Counter[str], counts: Counter[str | None]) -> list[tuple[str, str]]:
    if looks_like_counter(known):
        warnings = [("counter", "grows steadily, like a clock or a counter: it will leave the range seen so far")]
        unit = epoch_unit(known)
        if unit:
            warnings.append(("unit", f"{unit} since 1970, {UNREADABLE_UNIT}"))
        return warnings
    shift = find_shift(known) if len(counts) > 1 else None
    if shift is not None:
        before, after = shift
        text = f"its values change for good within the sample, from a median of {before:.4g} to {after:.4g}: another "
        return [("shift", f"{text}unit, a new version, or a trend; a model of the past will take what follows as odd")]
    if set(types) == {"integer"} and len(counts) == len(known) > UNIQUE_VALUES:
        return [("unique", "perhaps an identifier: whole numbers, none of which repeats")]
    return []


def epoch_unit(known: Sequence[Any]) -> str:
    """`microseconds` or `nanoseconds` if all of the numbers (n,) are times from 2000 to 2100 in it; empty if not."""
    first, last = _YEARS_MS
    units = {"microseconds": 1_000, "nanoseconds": 1_000_000}
    least, most = min(known), max(known)
    return next((unit for unit, finer in units.items() if first * finer <= least and most <= last * finer), "")
