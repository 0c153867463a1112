"""Shows an evaluation in a terminal: progress while it runs, a table at the end."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid
from rich.text import Text

_ROWS = {
    "roc_auc": ("ROC-AUC", "probability that an anomaly scores above a normal row"),
    "pr_auc": ("PR-AUC", "average precision; a random ranking gets the share of anomalies"),
    "best_f1": ("best F1", "over all thresholds"),
    "recall_at_1pct_fpr": ("recall at 1 % FPR", "anomalies found if 1 % of the normal rows are flagged"),
    "scored": ("rows scored", ""),
    "anomalies": ("anomalies among them", ""),
    "alert_rate_target": ("alert rate, target", "threshold.alert_rate"),
    "alert_rate_observed": ("alert rate, observed", "share of scored rows flagged"),
    "alerts": ("alerts", "flagged rows left after noise control"),
    "alerts_per_day": ("alerts a day", "in event time"),
    "precision": ("precision", "share of flagged rows that are anomalies"),
    "recall": ("recall", "share of anomalies that are flagged"),
    "missed": ("missed", "anomalies that are not flagged; the report says why"),
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
        console = Console(highlight=False)
        console.print(grid)
        if summary["kinds"] is not None:
            console.print(_kinds(summary["kinds"]))
        console.print(_alert_rates(summary["alert_rates"]))
        for change in summary["changes"]:
            console.print(Text(describe_change(change), "yellow"))
        if summary["time"] is None:
            console.print("no event times: one second a row is assumed for the cooldown", style="dim")
        if summary["entity"] is None:
            console.print("no event.entity: all rows share one cooldown", style="dim")


def describe_change(change: dict[str, Any]) -> str:
    """A change of the stream in one line."""
    since = f" since {change['since']}" if change["since"] else ""
    hint = f" ({change['hint']})" if change["hint"] else ""
    return f"changed{since}: {change['field']}: {change['after']}; before: {change['before']}{hint}"


def _kinds(kinds: list[dict[str, Any]]) -> Grid:
    grid = Grid("kind of anomaly", title="by kind of anomaly")
    for name in ("anomalies", "flagged", "recall"):
        grid.add_column(name, justify="right")
    for kind in kinds:
        grid.add_row(Text(kind["kind"]), *[_value(kind[name]) for name in ("anomalies", "flagged", "recall")])
    return grid


def _alert_rates(rates: list[dict[str, Any]]) -> Grid:
    grid = Grid(title="what other alert rates would give")
    names = ("alert_rate", "flagged", "alerts", "alerts_per_day", "recall", "precision")
    for name in names:
        grid.add_column(name.replace("_per_", " a ").replace("_", " "), justify="right")
    for rate in rates:
        grid.add_row(*[_value(rate[name]) for name in names], style="bold" if rate["configured"] else None)
    return grid


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1_000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
