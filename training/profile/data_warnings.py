"""What to be careful of in a field's values, each with a code that programs can go by."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from training.tables.values import is_time_text

UNIQUE_VALUES = 50
"""Up to so many different values may be an accident of a small sample."""
_WORDS = 3.0
_GROWS_ROWS = 32
_GROWS_STEADILY = 0.9
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_YEARS_MS = (946_684_800_000, 4_102_444_800_000)
"""The years 2000 and 2100 in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Caution:
    """`code` is one word or two with a dash; `field` is None where it is about the whole sample."""

    code: str
    text: str
    field: str | None = None

    def __str__(self) -> str:
        return self.text if self.field is None else f"{self.field}: {self.text}"


def cautions(name: str, known: list[Any], types: Counter[str], counts: Counter[str | None] | None) -> list[Caution]:
    """From the values that are there, how many there are of each type, and of each value (None for lists)."""
    if not known:
        return [Caution("missing", "never there", name)]
    if counts is None:
        return [Caution("lists", "lists are not read", name)]
    found = [("constant", "constant in this sample")] if len(counts) == 1 else []
    kinds = {"number" if kind == "integer" else kind for kind in types}
    if len(kinds) > 1:
        found.append(("mixed", f"mixed types: {', '.join(f'{count:,} {kind}' for kind, count in types.items())}"))
    elif kinds == {"text"}:
        found += _of_texts(known, counts)
    elif kinds == {"number"}:
        found += _of_numbers(known, types, counts)
    return [Caution(code, text, name) for code, text in found]


def _of_texts(known: list[str], counts: Counter[str | None]) -> list[tuple[str, str]]:
    if is_time_text(known):
        whole_days = all(len(value) == 10 for value in known)
        return [("dates", "no time of day: `period: week` says more than `day`")] if whole_days else []
    words = sum(len(value.split()) for value in known) / len(known)
    if len(counts) > max(UNIQUE_VALUES, len(known) // 2) and words >= _WORDS:
        return [("free-text", f"free text, {words:.0f} words on average")]
    found = [("unique", "no value repeats: an identifier")] if len(counts) == len(known) > UNIQUE_VALUES else []
    if all(map(_NUMBER.fullmatch, counts)):  # type: ignore[arg-type]
        found.append(("number-text", "numbers written as text: they are read as categories"))
    return found


def _of_numbers(known: list[Any], types: Counter[str], counts: Counter[str | None]) -> list[tuple[str, str]]:
    if _grows(known, len(counts)):
        found = [
            ("counter", "grows steadily, as clocks and counters do: its values will leave what the model has seen")
        ]
        first, last = _YEARS_MS
        if any(first * finer <= min(known) and max(known) <= last * finer for finer in (1_000, 1_000_000)):
            found.append(
                ("unit", "perhaps micro- or nanoseconds since 1970; times are read in seconds or milliseconds")
            )
        return found
    if set(types) == {"integer"} and len(counts) == len(known) > UNIQUE_VALUES:
        return [("unique", "whole numbers of which none repeats: perhaps an identifier")]
    return []


def _grows(known: list[Any], distinct: int) -> bool:
    """Nearly all of the way that the values went, they went up."""
    if distinct < _GROWS_ROWS:
        return False
    # In Python's own numbers: steps of nanoseconds since 1970 are lost in a float64.
    way = sum(abs(after - before) for before, after in pairwise(known))
    return bool(way > 0 and known[-1] - known[0] >= _GROWS_STEADILY * way)
