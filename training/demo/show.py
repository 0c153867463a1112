"""Shows the demo in a terminal: severe alerts as they come, model versions as they change, and a summary at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table as Grid
from rich.text import Text

_COLOURS = {"critical": "bold red", "major": "red", "minor": "yellow", "warning": "cyan"}
_SHOWN = ("critical", "major")
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
        self._not_shown: Counter[str] = Counter()

    def say(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False)

    def alert(self, alert: dict[str, Any], anomalous: bool | None) -> None:
        """Print a critical or major alert; count one of a lower severity, for `others`."""
        if alert["severity"] in _SHOWN:
            self._console.print(alert_line(alert, anomalous), no_wrap=True, overflow="ellipsis")
        else:
            self._not_shown[alert["severity"]] += 1

    def others(self) -> None:
        """Print the number of alerts that were counted since the last call, and not shown."""
        if self._not_shown:
            counts = " and ".join(f"{count} {severity}" for severity, count in sorted(self._not_shown.items()))
            self._console.print(Text(f"         and {counts} alerts", "dim"))
            self._not_shown.clear()

    def version(self, event: dict[str, Any]) -> None:
        name = _VERSION_EVENTS.get(event["event"])
        if name is None or (event["event"] == "switched" and event.get("partition") != 0):
            return
        self.others()
        details = f"v{event['version']}" if "version" in event else ""
        if event["event"] == "challenger_rejected":
            details += f": {'; '.join(event['reasons'])}"
        self._console.print(Text(f"   model {name} {details}", "bold blue"))

    def summary(self, figures: Mapping[str, Any], findings: Sequence[str], troubles: Sequence[str], where: str) -> None:
        """Print figures as a table, then paragraphs of text, the last of which says where the page and the log are."""
        grid = Grid(title="offbeat demo", show_header=False)
        for name, value in figures.items():
            grid.add_row(name.replace("_", " "), _value(value))
        texts = [*((text, "") for text in findings), *((text, "yellow") for text in troubles), (where, "dim")]
        paragraphs = [part for text, style in texts for part in (Text(), Text(text, style))]
        self._console.print(Group(grid, *paragraphs))


def alert_line(alert: dict[str, Any], anomalous: bool | None) -> Text:
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
    return line


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:.3g}"
    if isinstance(value, list):
        return " or ".join(str(choice["value"] or "missing") for choice in value) or "-"
    return str(value)
