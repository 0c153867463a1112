"""Shows the demo in a terminal: alerts as they come, model versions as they change, and a summary at the end."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

_COLOURS = {"critical": "bold red", "major": "red", "minor": "yellow", "warning": "cyan"}
_VERSION_EVENTS = {
    "cold_start": "first model",
    "fine_tune": "fine-tuned",
    "switched": "worker switched to",
    "challenger_rejected": "challenger rejected",
    "threshold_moved": "threshold moved",
}
"""Log events of the worker and the trainer, with the text that the demo shows for each."""
_FEATURES = 3


class Screen:
    """Prints to stdout; prints nothing if `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=quiet, quiet=quiet, highlight=False)

    def say(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False)

    def alert(self, alert: dict[str, Any], anomalous: bool | None) -> None:
        line = Text()
        line.append(f"{alert['severity']:>8} ", _COLOURS[alert["severity"]])
        line.append(f"{alert['score']:5.1f}  p {alert['p_value']:.1e}  ")
        line.append(f"{alert['entity'] or '-'}  ", "bold")
        for feature in alert["features"][:_FEATURES]:
            actual, expected = _value(feature["actual"]), _value(feature["expected"])
            line.append(f"{feature['field']} ", "bold")
            line.append(f"{actual}, expected {expected}  ")
        if anomalous is not None:
            line.append("✓ labelled anomaly" if anomalous else "not labelled", "green" if anomalous else "dim")
        self._console.print(line, no_wrap=True, overflow="ellipsis")

    def version(self, event: dict[str, Any]) -> None:
        name = _VERSION_EVENTS.get(event["event"])
        if name is None or (event["event"] == "switched" and event.get("partition") != 0):
            return
        details = f"v{event['version']}" if "version" in event else ""
        if event["event"] == "challenger_rejected":
            details += f": {'; '.join(event['reasons'])}"
        self._console.print(Text(f"   model {name} {details}", "bold blue"))

    def summary(self, summary: dict[str, Any], alert_rate: float, true_share: float | None) -> None:
        grid = Grid(title="offbeat demo", show_header=False)
        for name, value in summary.items():
            grid.add_row(name.replace("_", " "), _value(value))
        grid.add_row("configured alert rate", f"{alert_rate:.3f}")
        if true_share is not None:
            grid.add_row("true share of anomalies", f"{true_share:.3f}")
        self._console.print(grid)


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:.3g}"
    if isinstance(value, list):
        return " or ".join(str(choice["value"] or "missing") for choice in value) or "-"
    return str(value)
