"""Small SVG drawings: functions that turn arrays into SVG text.

A drawing fills the available width, while its text has the size of the page's text: positions along it are percentages,
and the marks lie in an inner box of `SIDE` by `SIDE` units that is stretched. Strokes are not stretched, and a dot is a
line of length zero with round ends. Coordinates are integers, so that none can be NaN or infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.report.words import number, safe

SIDE = 10_000
Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


class Axis(NamedTuple):
    """An axis: its name with the unit, and its ticks as (value, text)."""

    name: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> str:
        return f"{100.0 * (value - self.low) / (self.high - self.low):.2f}%"


class Bar(NamedTuple):
    """`share` in 0..1; `name` and `value` are plain text, escaped here, and short enough for a phone together."""

    name: str
    value: str
    share: float


def axis(name: str, low: float, high: float, most: int = 5, text: Callable[[float], str] = number) -> Axis:
    """Make an axis of at most about `most` ticks. An empty range is widened.

    Ticks are at multiples of 1, 2 or 5 times a power of ten.
    """
    if high - low < max(1e-6 * max(abs(low), abs(high)), 1e-300):
        half = max(0.5, 1e-3 * abs(low))
        low, high = low - half, high + half
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= 0.85 * rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Rounded, because 3 * 0.1 is 0.30000000000000004.
    values = [float(f"{i * step:.12g}") for i in range(first, last + 1)]
    return Axis(name, low, high, tuple((value, text(value)) for value in values))


def across(values: npt.ArrayLike, of: Axis) -> Places:
    """Positions from left to right; values outside the axis are placed at its ends. Raises ValueError for NaN."""
    x = np.asarray(values, np.float64)
    if np.isnan(x).any():
        raise ValueError("NaN has no place on an axis")
    return np.rint(SIDE * np.clip((x - of.low) / (of.high - of.low), 0.0, 1.0)).astype(np.int64)


def up(values: npt.ArrayLike, of: Axis) -> Places:
    """Positions from bottom to top, although SVG counts from the top."""
    return SIDE - across(values, of)


def chart(slug: str, title: str, description: str, x: Axis, y: Axis, marks: str, *, shape: str, above: str = "") -> str:
    """A drawing with its axes. `marks` is SVG in units of the inner box, `above` in percentages of the drawing."""
    elements = [
        f'<svg class="chart {shape}" role="img" aria-labelledby="{slug}-title {slug}-desc">'
        f'<title id="{slug}-title">{safe(title)}</title><desc id="{slug}-desc">{safe(description, 400)}</desc>'
    ]
    for value, text in y.ticks:
        at = f"{100.0 * (y.high - value) / (y.high - y.low):.2f}%"
        elements.append(f'<line class="grid" x2="100%" y1="{at}" y2="{at}"/>')
        elements.append(f'<text class="tick left" x="-8" y="{at}" dy=".35em">{safe(text, 16)}</text>')
    for value, text in x.ticks:
        at = x.share(value)
        if shape == "square":
            elements.append(f'<line class="grid" x1="{at}" x2="{at}" y2="100%"/>')
        elements.append(f'<text class="tick middle" x="{at}" y="100%" dy="1.6em">{safe(text, 16)}</text>')
    elements.append(f'<text class="name" y="-2.1em">{safe(y.name, 52)}</text>')
    elements.append(f'<text class="name right" x="100%" y="100%" dy="3.1em">{safe(x.name, 52)}</text>')
    box = f'viewBox="0 0 {SIDE} {SIDE}" preserveAspectRatio="none"'
    elements.append(f'<svg width="100%" height="100%" {box}>{marks}</svg>{above}</svg>')
    return "".join(elements)


def line(x: Places, y: Places, look: str) -> str:
    """A line through (n,) points."""
    points = [f"{a} {b}" for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    return f'<path class="line {look}" d="M{"L".join(points)}"/>' if points else ""


def dots(slug: str, x: Places, y: Places, *looks: str) -> str:
    """(n,) round dots in one path, drawn once for each look, the later ones on top."""
    if not len(x):
        return ""
    points = "".join([f"M{a} {b}h0" for a, b in zip(x.tolist(), y.tolist(), strict=True)])
    drawn = "".join([f'<use href="#{slug}" class="{look}"/>' for look in looks])
    return f'<defs><path id="{slug}" class="dots" d="{points}"/></defs>{drawn}'


def skyline(edges: Places, heights: Places, look: str, base: int = SIDE) -> str:
    """Adjoining columns that begin at `base`: `edges` (n + 1,), `heights` (n,)."""
    if not len(heights):
        return ""
    steps = [f"V{top}H{right}" for top, right in zip(heights.tolist(), edges[1:].tolist(), strict=True)]
    return f'<path class="{look}" d="M{edges[0]} {base}{"".join(steps)}V{base}z"/>'


def columns(edges: Places, heights: Places, base: int, look: str, gap: int = 12) -> str:
    """Columns with gaps, from `base` up or down to `heights` (n,); empty columns are left out."""
    boxes = [
        f"M{left + gap} {base}V{end}H{right - gap}V{base}z"
        for left, right, end in zip(edges[:-1].tolist(), edges[1:].tolist(), heights.tolist(), strict=True)
        if end != base
    ]
    return f'<path class="{look}" d="{"".join(boxes)}"/>' if boxes else ""


def across_at(value: float, y: Axis, look: str) -> str:
    """A horizontal line at `value`."""
    return line(np.array([0, SIDE]), np.repeat(up([value], y), 2), look)


def upright_at(value: float, x: Axis, look: str) -> str:
    """A vertical line at `value`."""
    return line(np.repeat(across([value], x), 2), np.array([0, SIDE]), look)


def bars(slug: str, title: str, rows: Sequence[Bar]) -> str:
    """Rows with a name, a value and a bar of 0 to 100 %."""
    height = 44
    description = "; ".join([f"{row.name} {row.value}" for row in rows])
    elements = [
        f'<svg class="bars" role="img" height="{height * len(rows)}" aria-labelledby="{slug}-title {slug}-desc">'
        f'<title id="{slug}-title">{safe(title)}</title><desc id="{slug}-desc">{safe(description, 400)}</desc>'
    ]
    for i, (name, value, share) in enumerate(rows):
        text, top = height * i + 16, height * i + 24
        elements.append(f'<text y="{text}">{safe(name)}</text>')
        elements.append(f'<text class="right" x="100%" y="{text}">{safe(value)}</text>')
        elements.append(_bar(share, f'y="{top}" height="9"'))
    return "".join(elements) + "</svg>"


def bar(share: float, title: str, description: str) -> str:
    """One bar for a cell of a table."""
    drawn = _bar(share, 'height="100%"')
    return f'<svg class="bar" role="img"><title>{safe(title)}</title><desc>{safe(description, 120)}</desc>{drawn}</svg>'


def _bar(share: float, place: str) -> str:
    width = 100.0 * min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    return f'<rect class="track" width="100%" {place}/><rect class="part" width="{width:.2f}%" {place}/>'


def shares(low: float, high: float, name: str, most: int = 5) -> Axis:
    """An axis of shares with its ticks in percent."""
    return axis(name, low, high, most, lambda share: f"{abs(100.0 * share):.3g}\N{NO-BREAK SPACE}%")
