"""The map of the codes, and helpers for all charts: each chart turns arrays into a drawing and its caption.

If there are too many points to draw, they are thinned, and the caption says how. Labels are (n,) bool, True for an
anomaly. A flagged anomaly is a full dot and a missed one a ring, so that colour is never the only sign.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.report.svg import Axis, Numbers, Places, across, axis, chart, dots, up

POINTS = 4_000
POINTS_ON_TOP = 800
_MANY = 400
_EDGE = 0.002
SCORES = axis("score, 0 to 100", 0.0, 100.0)

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Legend = tuple[tuple[str, str], ...]


class Chart(NamedTuple):
    """A drawing with its legend, as (look, text), and its caption in plain text."""

    svg: str
    caption: str
    legend: Legend = ()


def spread(index: Rows, most: int) -> Rows:
    """Thin indices to at most `most`, evenly spaced; the first and the last are kept."""
    if len(index) <= most:
        return index
    return index[np.linspace(0, len(index) - 1, most).astype(np.int64)]


def anomalies(slug: str, x: Places, y: Places, flagged: Flags) -> str:
    """Draw rings for the missed anomalies, and full dots on top of them for the flagged ones; all arrays (m,)."""
    size = " many" if len(x) > _MANY else ""
    rings = dots(f"{slug}-missed", x[~flagged], y[~flagged], f"ring{size}", f"hole{size}")
    return rings + dots(f"{slug}-flagged", x[flagged], y[flagged], f"halo{size}", f"full{size}")


def anomaly_legend(flagged: Flags, labels: Flags) -> Legend:
    hits, total = int((flagged & labels).sum()), int(labels.sum())
    return ("full", f"anomaly, flagged ({hits:,})"), ("ring", f"anomaly, missed ({total - hits:,})")


def code_map(code: Numbers, names: tuple[str, str], labels: Flags | None, flagged: Flags) -> Chart:
    """Draw (n, 2) finite points. The anomalies are on top or, if there are no labels, the flagged rows."""
    marked = flagged if labels is None else labels
    top = spread(np.flatnonzero(marked), POINTS_ON_TOP)
    under = spread(np.flatnonzero(~marked), POINTS - len(top))
    shown = code[np.concatenate((under, top))]
    low, high = np.quantile(shown, [_EDGE, 1.0 - _EDGE], axis=0)
    x, y = (_pad_axis(names[i], float(low[i]), float(high[i])) for i in (0, 1))
    places = across(code[:, 0], x), up(code[:, 1], y)
    marks = dots("map-under", places[0][under], places[1][under], "crowd")
    marks += anomalies("map", places[0][top], places[1][top], flagged[top])
    legend: Legend = (("crowd", "not flagged" if labels is None else "normal"),)
    legend += (("full", f"flagged ({int(flagged.sum()):,})"),) if labels is None else anomaly_legend(flagged, labels)
    kinds = ("other", "flagged") if labels is None else ("normal", "anomalous")
    caption = (
        "Rows that the model sees as alike lie close together. "
        f"Drawn: {len(under):,} of {int((~marked).sum()):,} {kinds[0]} rows and {len(top):,} of "
        f"{int(marked.sum()):,} {kinds[1]}. "
    )
    outside = int(((shown < (x.low, y.low)) | (shown > (x.high, y.high))).any(axis=1).sum())
    caption += f"Points further out, drawn at the edge: {outside:,}." * (outside > 0)
    title = "Map of the bottleneck's values"
    return Chart(chart("map", title, caption, x, y, marks, shape="square"), caption.strip(), legend)


def _pad_axis(name: str, low: float, high: float) -> Axis:
    pad = 0.05 * (high - low)
    return axis(name, low - pad, high + pad)
