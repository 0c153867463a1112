"""Made-up reports, and a parser of the pages that they give."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np

from training.report import MissedAnomaly, Report, Surprise, TopAlert
from training.report.style import STYLE
from training.report.svg import SIDE


class Reader(HTMLParser):
    """Every tag with its attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).replace(STYLE, "").split())


def alert(row: int = 3, anomalous: bool | None = True, **changes: Any) -> TopAlert:
    features = [
        {"field": "bytes", "actual": 29.0, "expected": 0.5, "share": 0.6},
        {"field": "service", "actual": "finger", "expected": [{"value": "mail", "probability": 0.62}], "share": 0.3},
    ]
    made = TopAlert(row, "host-a", "2026-01-01T00:00:00.000Z", 61.5, 1.2e-5, 9.25, anomalous, features)
    return replace(made, **changes)


def missed(row: int = 4, **changes: Any) -> MissedAnomaly:
    features = [{"field": "currency", "actual": "XAU", "expected": "EUR", "share": 0.4}]
    surprises = [Surprise("currency", 0.99, 0.98)]
    time = "2026-01-01T00:00:00.000Z"
    made = MissedAnomaly(row, "shop-05", time, "mismatch", 0.018, 31, 3_000, features, surprises)
    return replace(made, **changes)


def report(n: int = 3_000, *, labelled: bool = True, anomalies: int = 60, seed: int = 1, **changes: Any) -> Report:
    g = np.random.default_rng(seed)
    labels = np.zeros(n, np.bool_)
    labels[g.choice(n, min(anomalies, n), replace=False)] = True
    error = (g.lognormal(0.0, 0.5, n) * np.where(labels, 2.5, 1.0)).astype(np.float32)
    score = np.minimum(100.0, 8.0 * error.astype(np.float64))
    summary = {
        "roc_auc": 0.9,
        "pr_auc": 0.4,
        "best_f1": 0.5,
        "recall_at_1pct_fpr": 0.3,
        "events": n + 100,
        "scored": n,
        "events_per_second": 1234.5,
        "alert_rate_target": 0.01,
        "alert_rate_observed": 0.02,
        "seed": 7,
        "kind": "denoising",
        "versions": 3,
    }
    if not labelled:
        summary |= dict.fromkeys(("roc_auc", "pr_auc", "best_f1", "recall_at_1pct_fpr"))
    made = Report(
        title="flows.parquet",
        summary=summary,
        rows=np.arange(100, 100 + n),
        score=score,
        error=error,
        flagged=score > 25.0,
        labels=labels if labelled else None,
        versions=np.arange(n) * 3 // max(n, 1) + 1,
        code=g.normal(size=(n, 2)).astype(np.float32),
        code_axes=("code 1", "code 2"),
        alerts=[alert(3, True if labelled else None), alert(7, False if labelled else None)],
    )
    return replace(made, **changes)


def path(page: str, pattern: str) -> str:
    """The `d` of the path whose id or class is `pattern`."""
    found = re.search(rf'<path (?:id|class)="{pattern}"(?: class="[^"]*")? d="([^"]*)"', page)
    assert found, pattern
    return found[1]


def points(d: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"M(-?\d+) (-?\d+)h0", d)]


def place(value: float, low: float, high: float) -> int:
    return round(SIDE * min(max((value - low) / (high - low), 0.0), 1.0))
