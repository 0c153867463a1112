"""Recognises numbers written as text, blanks that stand for a missing number, and levels that differ in case."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from worker.core.events.spec import CategoricalFeature

BLANKS = {"", "-", "--", "n/a", "na", "nan", "null", "none", "nil", "?", "inf", "-inf", "infinity", "-infinity"}
"""Texts, in lower case, that stand where a number is missing."""
_NUMBER = re.compile(
    r"[+-]?((\d{1,3}([,' _]\d{3})+|\d+)(\.\d*)?|\d{1,3}(\.\d{3})+(,\d*)?|\d+,\d+|\.\d+)([eE][+-]?\d+)?\s?%?"
)
"""A decimal number, also with separators of thousands, with a decimal comma, or with a per cent sign."""
_MAX_LEVELS = int(CategoricalFeature.model_fields["levels"].default)
"""A feature gives this many values a level of their own; with more, every other one would be an unusual value."""
_SHOWN = 4
_MAX_SHOWN = 20


def is_blank(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in BLANKS


def is_number_text(value: Any) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value.strip()) is not None


def find_unreadable_numbers(known: Sequence[Any], first: Sequence[Any]) -> str:
    """Why a column whose numbers the worker cannot read should be left out; empty if it should not.

    `known` are all its known values, which decide on what it holds; `first` are those that decide on how many different
    values there are. As categories, many numbers are unusual values one and all. Few of them, such as status codes, are
    good categories.
    """
    texts = [value for value in known if isinstance(value, str)]
    if not texts or any(isinstance(value, bool) for value in known):
        return ""
    blanks = Counter(value for value in texts if is_blank(value))
    written = [value for value in texts if value not in blanks]
    if len(set(map(str, (value for value in first if not is_blank(value))))) <= _MAX_LEVELS:
        return ""
    if not all(map(is_number_text, written)):
        return ""
    parts = []
    if written:
        parts.append(f"numbers written as text, such as {_examples(written)}: let the producer write numbers")
    if blanks:
        share = sum(blanks.values()) / len(known)
        parts.append(f"{share:.1%} of its numbers are texts, {_examples(blanks)}: let the producer write null")
    return f"{'; '.join(parts)}; the worker reads no number from a text, and as categories the values hardly repeat"


def find_case_variants(levels: Iterable[str | None]) -> list[str]:
    """Levels that differ only in case from another one, in pairs such as `TCP` and `tcp`, sorted."""
    variants: dict[str, set[str]] = defaultdict(set)
    for level in levels:
        if level is not None:
            variants[level.casefold()].add(level)
    return sorted(level for group in variants.values() if len(group) > 1 for level in group)


def show(levels: Iterable[str]) -> str:
    """The first four levels, quoted and shortened."""
    several = list(levels)
    shown = [repr(level if len(level) <= _MAX_SHOWN else level[:_MAX_SHOWN] + "…") for level in several[:_SHOWN]]
    return ", ".join(shown) + (" …" if len(several) > _SHOWN else "")


def _examples(texts: Iterable[str]) -> str:
    return show(dict.fromkeys(texts))
