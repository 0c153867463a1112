"""Shows an evaluation in a terminal: progress while it runs, a table at the end."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

_ROWS = {
    "roc_auc": ("ROC-AUC", "probability that an anomaly scores above a normal row"),
    "pr_auc": ("PR-AUC", "average precision; a random ranking gets the share of anomalies"),
    "best_f1": ("best F1", "over all thresholds"),
    "recall_at_1pct_fpr": ("recall at 1 % FPR", "anomalies found if 1 % of the normal rows are flagged"),
    "scored": ("rows scored", ""),
    "anomalies": ("anomalies among them", ""),
    "alert_rate_target": ("alert rate, target", "threshold.alert_rate"),
    "alert_rate_observed": ("alert rate, observed", "share of scored rows flagged"),
    "precision": ("precision", "share of flagged rows that are anomalies"),
    "recall": ("recall", "share of anomalies that are flagged"),
    "false_positive_rate": ("normal rows flagged", ""),
    "events_per_second": ("rows per second", "scoring and training"),
    "scored_per_second": ("", "scoring alone"),
    "versions": ("versions served", ""),
    "rejected": ("versions rejected", "by the gate"),
    "kind": ("kind", ""),
    "window": ("window", ""),
    "seed": ("seed", ""),
}


class Screen:
    """Prints the result to stdout and everything else to stderr; the progress bar only if that is a terminal."""

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
        self._task = self._bar.add_task("training on the first rows", total=None)

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
        for name, (heading, meaning) in _ROWS.items():
            grid.add_row(heading, _value(summary[name]), meaning, style=None if heading else "dim")
        Console(highlight=False).print(grid)


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1_000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
