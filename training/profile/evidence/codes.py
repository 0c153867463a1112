"""Recognises codes: whole numbers that name something, so that the distance between two of them means nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from training.profile.evidence.names import words_of

MAX_LEVELS = 20
_ROWS_PER_LEVEL = 10
"""With fewer rows for each value, further values are to be expected."""
_NAMES = {
    "code", "codes", "status", "type", "port", "proto", "protocol", "id", "kind", "category", "mode", "state", "errno",
    "channel", "vlan", "op", "opcode", "reason", "method", "version", "currency", "region", "zone", "rc",
}  # fmt: skip
"""Last words of names of codes, whatever their values are."""
_RANKS = {"class", "level", "severity", "priority", "grade", "response", "result", "error", "event", "reply"}
"""Last words of names of codes or of ranks. They are codes if their values have gaps."""
_LEAST_CODE = 100
_ROUND = 5


def describe_code(name: str, known: Sequence[int]) -> str:
    """Why the known values (n,) of a field are codes; empty if they are numbers.

    Codes have few different values, at most 20. The last word of the name decides if it is one like `status` or `port`.
    Otherwise the values must have gaps, as 200, 404 and 500 do: 0, 1, 2, 3 count or rank something, and so do a few
    larger values above them. Without any hint in the name, codes have three digits or more, at least three different
    values, and are not all multiples of five, as rounded numbers are.
    """
    levels = sorted(set(known))
    if not 2 <= len(levels) <= MAX_LEVELS or len(known) < _ROWS_PER_LEVEL * len(levels):
        return ""
    words = words_of(name)
    last = next((word for word in reversed(words) if not word.isdigit()), "")
    few = f"{len(levels)} whole numbers"
    if last in _NAMES:
        return f"{few} that are names by the field's: read as categories, because their distances mean nothing"
    gaps = levels[0] > 1 and levels[-1] - levels[0] >= 2 * len(levels)
    irregular = len(levels) >= 3 and levels[0] >= _LEAST_CODE and math.gcd(*levels) % _ROUND != 0
    if gaps and (last in _RANKS or irregular):
        return f"{few} with gaps between them: read as categories, because codes have no distances"
    return ""
