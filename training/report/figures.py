"""The report's figures, each with a sentence on what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.report.svg import Bar, bars
from training.report.words import NOTHING, amount, number, percent, plain, real, safe

KINDS = 20
_OWN_SECTION = {"alert_rates", "kinds"}


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of rows: `hit` and `missed` anomalies, `false` alarms, `passed` normal rows."""

    hit: int
    missed: int
    false: int
    passed: int

    @classmethod
    def of(cls, flagged: npt.NDArray[np.bool_], labels: npt.NDArray[np.bool_]) -> Confusion:
        hit, alerts, anomalies = int((flagged & labels).sum()), int(flagged.sum()), int(labels.sum())
        return cls(hit, anomalies - hit, alerts - hit, len(labels) - anomalies - alerts + hit)

    @property
    def anomalies(self) -> int:
        return self.hit + self.missed

    @property
    def flagged(self) -> int:
        return self.hit + self.false

    @property
    def normal(self) -> int:
        return self.false + self.passed

    @property
    def rows(self) -> int:
        return self.anomalies + self.normal

    @property
    def recall(self) -> float | None:
        return self.hit / self.anomalies if self.anomalies else None

    @property
    def precision(self) -> float | None:
        return self.hit / self.flagged if self.flagged else None

    @property
    def false_alarm_rate(self) -> float | None:
        return self.false / self.normal if self.normal else None


def key_figures(summary: Mapping[str, Any], flagged: float | None, versions: int, confusion: Confusion | None) -> str:
    """Render each figure with a sentence on its meaning.

    `flagged` is the share of flagged rows, and `versions` the number of versions.
    """
    figures = _ranking(summary, confusion) if confusion is not None else []
    target = real(summary.get("alert_rate_target"))
    observed = real(summary.get("alert_rate_observed"))
    meaning = (
        f"Share of the rows that were flagged; the target is {percent(target)}."
        if target is not None
        else "Share of the rows that were flagged."
    )
    figures.append(("Alert rate", percent(observed if observed is not None else flagged), meaning + _alerts(summary)))
    if real(summary.get("scored")) is not None and real(summary.get("events")) is not None:
        rest = int(summary["events"]) - int(summary["scored"])
        text = f"After {amount(rest, 'row')} to learn from." if rest else "Every row of the file."
        figures.append(("Rows scored", number(int(summary["scored"])), text))
    speed = real(summary.get("events_per_second"))
    if speed is not None:
        figures.append(("Events a second", f"{speed:,.0f}", "Training included, on the machine that made this report."))
    if versions:
        training = "Trained once." if versions == 1 else "Trained again as rows came in."
        rejected = real(summary.get("rejected"))
        training += f" {amount(int(rejected), 'other')} rejected: not better." if rejected else ""
        figures.append(("Model versions", number(versions), training))
    tiles = [
        f'<div><dt>{name}</dt><dd class="value">{value}</dd><dd class="note">{text}</dd></div>'
        for name, value, text in figures
    ]
    return "\n".join(['<dl class="figures">', *tiles, "</dl>"])


def _alerts(summary: Mapping[str, Any]) -> str:
    alerts, daily = real(summary.get("alerts")), real(summary.get("alerts_per_day"))
    if alerts is None:
        return ""
    text = f" Noise control left {amount(int(alerts), 'alert')}"
    return f"{text}, {number(float(f'{daily:.2g}'))} a day." if daily is not None else f"{text}."


def _ranking(summary: Mapping[str, Any], confusion: Confusion) -> list[tuple[str, str, str]]:
    base = confusion.anomalies / max(confusion.rows, 1)
    pr, roc = real(summary.get("pr_auc")), real(summary.get("roc_auc"))
    times = f", and this is {number(float(f'{pr / base:.2g}'))} times that" if pr is not None and base > 0 else ""
    pairs = f"In {percent(roc)} of all pairs the" if roc is not None else "How often, of two rows, the"
    return [
        (
            "PR-AUC",
            _figure(pr),
            f"Precision averaged over recall. Chance gives {_figure(base)}, the share of anomalies{times}.",
        ),
        ("ROC-AUC", _figure(roc), f"{pairs} anomaly ranks above the normal row. Chance gives 0.5."),
        (
            "Best F1",
            _figure(real(summary.get("best_f1"))),
            "Balance of precision and recall at the best threshold, chosen with the labels in hand: a ceiling.",
        ),
        (
            "Recall at 1 % false alarms",
            percent(real(summary.get("recall_at_1pct_fpr"))),
            "Share of the anomalies found if 1 normal row in 100 may be flagged.",
        ),
    ]


def confusion_section(confusion: Confusion) -> str:
    """Render the counts and rates at the threshold in use."""
    c = confusion
    rows = (
        Bar("Anomalies that were flagged", percent(c.recall), c.recall or 0.0),
        Bar("Flagged that are anomalies", percent(c.precision), c.precision or 0.0),
        Bar("Normal rows that were flagged", percent(c.false_alarm_rate), c.false_alarm_rate or 0.0),
    )
    drawn = bars("confusion", "Rates at the threshold in use", rows)
    return f"""<section><h2>At the threshold</h2>
<p class="note">Rows that the model flagged while it ran, compared with their labels.</p>
<div class="pair"><div><table>
<thead><tr><th>rows</th><th class="n">flagged</th><th class="n">not flagged</th><th class="n">together</th></tr></thead>
<tbody>
<tr><th>anomalies</th><td class="n"><strong>{c.hit:,}</strong><small>found</small></td>
<td class="n">{c.missed:,}<small>missed</small></td><td class="n">{c.anomalies:,}</td></tr>
<tr><th>normal</th><td class="n">{c.false:,}<small>false alarms</small></td>
<td class="n">{c.passed:,}<small>left alone</small></td><td class="n">{c.normal:,}</td></tr>
<tr><th>together</th><td class="n">{c.flagged:,}</td><td class="n">{c.missed + c.passed:,}</td>
<td class="n">{c.rows:,}</td></tr>
</tbody></table></div>
<div>{drawn}</div></div></section>"""


def by_kind(summary: Mapping[str, Any]) -> str:
    """Render the share of each kind of anomaly that was flagged, the worst first; empty if kinds are not known."""
    kinds = [kind for kind in summary.get("kinds") or [] if isinstance(kind, Mapping)]
    if not kinds:
        return ""
    kinds = sorted(kinds, key=lambda kind: real(kind.get("recall")) or 0.0)
    rows = [Bar(plain(kind.get("kind"), 30), _found(kind), real(kind.get("recall")) or 0.0) for kind in kinds[:KINDS]]
    more = f"{amount(len(kinds) - KINDS, 'other kind')}, found more often, not shown. " * (len(kinds) > KINDS)
    return (
        '<section><h2>By kind of anomaly</h2><p class="note">Anomalies of each kind that were flagged, as the labels '
        f'name the kinds. {more}</p><div class="half">{bars("kinds", "Share flagged of each kind", rows)}</div>'
        "</section>"
    )


def _found(kind: Mapping[str, Any]) -> str:
    return f"{plain(kind.get('flagged'), 12)} of {plain(kind.get('anomalies'), 12)}"


def all_figures(summary: Mapping[str, Any]) -> str:
    """Render the summary as a table, without what was not measured and what has a section of its own."""
    if not summary:
        return ""
    rows = [
        f"<tr><th>{safe(str(name).replace('_', ' '), 60)}</th><td>{safe(value, 200)}</td></tr>"
        for name, value in summary.items()
        if value is not None and name not in _OWN_SECTION
    ]
    return "\n".join(
        ["<section><h2>All figures</h2>", '<table class="all"><tbody>', *rows, "</tbody></table></section>"]
    )


def _figure(value: float | None) -> str:
    """Format a figure with two digits after the decimal point, or more if it is small."""
    if value is None:
        return NOTHING
    return f"{value:.2f}" if value >= 0.1 or value == 0.0 else f"{value:.2g}"
