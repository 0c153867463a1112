"""The summary of an evaluation: what `--json` prints."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from training.evaluate.alert_rates import at_rates
from training.evaluate.prequential import Outcome
from training.evaluate.ranking_metrics import ranking
from training.report import time_span
from training.tables.table import Table
from worker.config.settings import Settings
from worker.core.alerts.alert import rfc3339

_DAY_MS = 86_400_000


def summarize(settings: Settings, table: Table, outcome: Outcome, *, timed: bool, seed: int) -> dict[str, Any]:
    """The figures of one evaluation. Without labels, or if the file is not `timed`, what needs them is None."""
    scored = len(outcome.error)
    labels = None if table.labels is None else table.labels[outcome.first :]
    seconds = outcome.learn_seconds + outcome.score_seconds
    alerts, days = int(outcome.alerted.sum()), _days(outcome) if timed else None
    rates = at_rates(
        outcome,
        labels,
        alert_rate=settings.threshold.alert_rate,
        cooldown_ms=int(settings.alerts.cooldown * 1000),
        days=days,
    )
    return {
        **ranking(labels, outcome.error),
        "events": table.rows,
        "scored": scored,
        "anomalies": None if labels is None else int(labels.sum()),
        "missed": None if labels is None else int((labels & ~outcome.flagged).sum()),
        "events_per_second": round(scored / max(seconds, 1e-9), 1),
        "scored_per_second": round(scored / max(outcome.score_seconds, 1e-9), 1),
        "learn_seconds": round(outcome.learn_seconds, 3),
        "score_seconds": round(outcome.score_seconds, 3),
        "alert_rate_target": settings.threshold.alert_rate,
        "alert_rate_observed": float(outcome.flagged.mean()),
        "flagged": int(outcome.flagged.sum()),
        "alerts": alerts,
        "alerts_per_day": alerts / days if days else None,
        **_alert_metrics(labels, outcome.flagged),
        "warmup": outcome.first,
        "versions": len(outcome.served),
        "rejected": outcome.rejected,
        "kind": settings.model.kind,
        "window": settings.model.window,
        "features": len(settings.features),
        "entity": settings.spec.entity,
        "time": settings.spec.time if timed else None,
        "seed": seed,
        "ranked_by": "reconstruction_error",
        "kinds": None if table.kinds is None else _by_kind(table.kinds[outcome.first :], outcome.flagged),
        "alert_rates": rates,
        "changes": [
            {"version": version, **change.model_dump(exclude={"since"}), "since": _since(change.since, timed=timed)}
            for version, change in outcome.changes
        ],
    }


def _since(since: int | None, *, timed: bool) -> str | None:
    """When a change began: an event time, or the row if the file has no times, one second a row being assumed."""
    if since is None:
        return None
    return rfc3339(since) if timed else f"row {since // 1_000}"


def _days(outcome: Outcome) -> float | None:
    """How long the scored rows last in event time, in days; None if they all have the same time."""
    low, high = time_span(outcome.arrivals.times.times)
    return (high - low) / _DAY_MS if high > low else None


def _alert_metrics(labels: npt.NDArray[np.bool_] | None, flagged: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    """Precision, recall and false-positive rate of the flagged rows; `labels` and `flagged` are (n,)."""
    if labels is None:
        return dict.fromkeys(("precision", "recall", "false_positive_rate"))
    hits = int((labels & flagged).sum())

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    return {
        "precision": share(hits, int(flagged.sum())),
        "recall": share(hits, int(labels.sum())),
        "false_positive_rate": share(int((flagged & ~labels).sum()), int((~labels).sum())),
    }


def _by_kind(kinds: list[str | None], flagged: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
    """The anomalies of each kind and how many of them were flagged, by name; `kinds` and `flagged` are (n,)."""
    anomalies = Counter(kind for kind in kinds if kind is not None)
    found = Counter(kinds[row] for row in np.flatnonzero(flagged).tolist())
    return [
        {"kind": kind, "anomalies": anomalies[kind], "flagged": found[kind], "recall": found[kind] / anomalies[kind]}
        for kind in sorted(anomalies)
    ]
