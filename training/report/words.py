"""Values as text for the report: numbers as people write them, and untrusted text made safe for HTML.

Field names, values and titles come from events, which anybody may have written, so each of them goes through `safe`.
"""

from __future__ import annotations

import html
import math
import re
from typing import Any

import numpy as np

MOST = 80
"""Characters of one value that are shown."""
_ITEMS = 6
_DEPTH = 2
_DIGITS_BITS = 256
NOTHING = "–"
_SPACE = "\N{NO-BREAK SPACE}"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # controls: errors in HTML, and invisible
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they would change the direction of the text around them
    "\u2028\u2029\ufeff\ufff9-\uffff\ud800-\udfff]"  # separators, non-characters, unpaired surrogates (not UTF-8)
)


def plain(value: Any, most: int = MOST) -> str:
    """Convert a value to one line of at most `most` visible characters, with an ellipsis if it was longer."""
    text = _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", words(value, most)[: most + 1])
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def brief(name: Any, most: int) -> str:
    """Shorten as `plain` does, but in the middle, because the names of nested fields differ at their ends."""
    text = plain(name, 4 * MOST)
    head = most // 3
    return text if len(text) <= most else f"{text[:head]}…{text[head + 1 - most :]}"


def safe(value: Any, most: int = MOST) -> str:
    """Convert as `plain` does, and escape for an element's text or a quoted attribute."""
    return html.escape(plain(value, most), quote=True)


def words(value: Any, most: int = MOST, depth: int = 0) -> str:
    """Convert a value to unescaped text: the first few items of a list or mapping, the beginning of a string."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value[: most + 1]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, dict | list | tuple):
        return _items(value, most, depth)
    return str(value)[: most + 1]


def _items(value: dict[Any, Any] | list[Any] | tuple[Any, ...], most: int, depth: int) -> str:
    if depth == _DEPTH:
        return "…"
    if isinstance(value, dict):
        shown = [f"{words(k, most, depth + 1)}: {words(value[k], most, depth + 1)}" for k in list(value)[:_ITEMS]]
    else:
        shown = [words(item, most, depth + 1) for item in value[:_ITEMS]]
    return ", ".join(shown + ["…"] * (len(value) > _ITEMS)) or "none"


def number(value: float) -> str:
    """Four significant digits, integers in full, thousands separated; very small and very large ones as 1.2 × 10⁻⁵."""
    if isinstance(value, int) and value.bit_length() > _DIGITS_BITS:
        return f"an integer of {value.bit_length():,} bits"  # Python refuses to print very long integers
    if not math.isfinite(value):
        return NOTHING
    size = abs(value)
    if value == int(value) and size < 1e12:
        text = f"{int(value):,}"
    elif 1e-3 <= size < 1e9:
        text = f"{value:,.0f}" if size >= 1_000 else f"{value:.4g}"
    else:
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa}{_SPACE}×{_SPACE}10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    return text.replace("-", "−")


def short(value: float) -> str:
    """Format a number for the ticks of an axis, such as 250k or 1.5M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (abs(value) >= size and size > 1e3):
            return number(value / size) + unit
    return number(value)


def percent(share: float | None) -> str:
    """Format a share with two significant digits; 100 % and 0 % only if they are exact."""
    if share is None or not math.isfinite(share):
        return NOTHING
    hundredths = 100.0 * share
    if 99.5 <= hundredths < 100.0:
        text = f"{min(hundredths, 99.99):.4g}"
    elif hundredths >= 9.95 or hundredths <= 0.0:
        text = f"{hundredths:.0f}"
    else:
        text = f"{hundredths:.1f}" if hundredths >= 0.995 else f"{hundredths:.2g}"
    return f"{text}{_SPACE}%".replace("-", "−")


def amount(number_of: int, singular: str, plural: str | None = None) -> str:
    """Format a number with its noun: `1 row`, `2 rows`."""
    return f"{number_of:,}{_SPACE}{singular if number_of == 1 else plural or singular + 's'}"


def real(value: Any) -> float | None:
    """Return the value as a float if it is a finite number, otherwise None."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    return float(value) if math.isfinite(value) else None
