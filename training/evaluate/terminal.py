"""An evaluation in a terminal: a progress bar while it runs, and a table at the end."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

_WORDS = {
    "roc_auc": ("ROC-AUC", "chance that an anomaly scores above a normal row"),
    "pr_auc": ("PR-AUC", "average precision; a random ranking has the share of anomalies"),
    "best_f1": ("best F1", "over all thresholds"),
    "recall_at_1pct_fpr": ("recall at 1 % FPR", "anomalies found while 1 % of the normal rows are flagged"),
    "scored": ("rows scored", ""),
    "anomalies": ("anomalies among them", ""),
    "alert_rate_target": ("alert rate, target", "threshold.alert_rate"),
    "alert_rate_observed": ("alert rate, observed", "share of scored rows flagged"),
    "precision": ("precision", "of the flagged"),
    "recall": ("recall", "of the flagged"),
    "false_positive_rate": ("normal rows flagged", ""),
    "events_per_second": ("rows per second", "scoring and learning"),
    "scored_per_second": ("", "scoring alone"),
    "versions": ("versions served", ""),
    "rejected": ("versions rejected", "by the gate"),
    "kind": ("kind", ""),
    "window": ("window", ""),
    "seed": ("seed", ""),
}


class Screen:
    """Everything but the result goes to stderr; the progress bar is shown only if that is a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._notes = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._notes,
            transient=True,
            disable=quiet or not self._notes.is_terminal,
        )
        self._task = self._bar.add_task("learning the first rows", total=None)

    def __enter__(self) -> Screen:
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        if not self._quiet:
            self._notes.print(text, style="dim", markup=False)

    def progress(self, done: int, rows: int, versions: int) -> None:
        self._bar.update(self._task, completed=done, total=rows, description=f"version {versions}")

    def summary(self, summary: dict[str, Any]) -> None:
        grid = Grid(title="offbeat evaluate", show_header=False)
        for name, (word, meaning) in _WORDS.items():
            grid.add_row(word, _value(summary[name]), meaning, style=None if word else "dim")
        Console(highlight=False).print(grid)


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1_000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
