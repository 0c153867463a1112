"""The report's alerts: a card for each of the highest, and the features that they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.report.svg import Bar, bar, bars
from training.report.words import MOST, amount, brief, number, percent, real, safe, words

CARDS = 100
OPEN = 6
"""Cards that are shown; the rest are folded away."""
FEATURES = 12
BARS = 10
_CHOICES = 3
_ALL = 0.99
"""Levels of this probability together are all that matter; else an ellipsis says that there are others."""
_NAME = 30
_VALUE = 60


@dataclass(frozen=True, slots=True)
class TopAlert:
    """An alert. `features` are {"field", "actual", "expected", "share"}, largest share first. `expected` of a
    categorical is a list or tuple of {"value", "probability"}, the likeliest first. `anomalous` is None if there are no
    labels.
    """

    row: int
    entity: str | None
    event_time: str | None
    score: float
    p_value: float
    error: float
    anomalous: bool | None
    features: list[dict[str, Any]]


def alert_cards(alerts: Sequence[TopAlert]) -> str:
    """A section with one card per alert."""
    if not alerts:
        return ""
    cards = [_card(alert) for alert in alerts[:CARDS]]
    shown, folded = "\n".join(cards[:OPEN]), "\n".join(cards[OPEN:])
    more = f"{amount(len(cards) - OPEN, 'more alert')}" + (f" of {len(alerts) - OPEN:,}" * (len(alerts) > CARDS))
    rest = f'<details><summary>{more}</summary><div class="alerts">\n{folded}\n</div></details>' if folded else ""
    return (
        '<section><h2>The highest alerts</h2><p class="note">The values of each row, the values that the model '
        "expected instead, and the share of the row’s error that each feature makes up.</p>\n"
        f'<div class="alerts">\n{shown}\n</div>\n{rest}</section>'
    )


def by_feature(alerts: Sequence[TopAlert]) -> tuple[str, str]:
    """The mean share of each feature over all alerts, as (drawing, caption); empty if there are no alerts."""
    totals: dict[str, float] = {}
    leads: dict[str, int] = {}
    for alert in alerts:
        for place, feature in enumerate(alert.features):
            field = words(feature.get("field"), 4 * MOST)
            totals[field] = totals.get(field, 0.0) + _share(feature)
            leads[field] = leads.get(field, 0) + (place == 0)
    if not totals:
        return "", ""
    order = sorted(totals, key=lambda field: (-totals[field], field))[:BARS]
    means = {field: totals[field] / len(alerts) for field in order}
    rows = [Bar(brief(field, _NAME), percent(means[field]), means[field]) for field in order]
    lead = max(order, key=lambda field: leads[field])
    caption = f"Mean share of the error over the {amount(len(alerts), 'highest alert')}, by the features listed. "
    caption += f"{brief(lead, _NAME)} is the largest part of {leads[lead]:,} of them."
    if len(totals) > BARS:
        caption += f" {amount(len(totals) - BARS, 'other feature')} not shown."
    return bars("features", "Features behind the highest alerts", rows), caption


def _card(alert: TopAlert) -> str:
    labelled = {
        True: '<span class="mark hit">✓ labelled anomaly</span>',
        False: '<span class="mark">✗ labelled normal</span>',
        None: "",
    }[alert.anomalous]
    meta = [*whose(alert.entity, alert.event_time), f"p {number(alert.p_value)}", f"error {number(alert.error)}"]
    return (
        f"<article><h3>Row {alert.row:,}, score {_score(alert.score)}{labelled}</h3>"
        f'<p class="meta">{" · ".join(meta)}</p>{feature_table(alert.features[:FEATURES])}</article>'
    )


def whose(entity: str | None, event_time: str | None) -> list[str]:
    """What a row is about and when, as HTML; what is not known is left out."""
    known = [] if entity is None else [f"entity <strong>{safe(entity, 40)}</strong>"]
    return known if event_time is None else [*known, safe(event_time, 40)]


def feature_table(features: Sequence[dict[str, Any]]) -> str:
    """A table with one line per feature; `features` as in `TopAlert`."""
    rows = "".join([_row(feature) for feature in features])
    return (
        "<table><thead><tr><th>feature</th><th>actual</th><th>expected</th>"
        f'<th class="share">share</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _row(feature: dict[str, Any]) -> str:
    field, share = feature.get("field"), _share(feature)
    drawn = bar(share, f"{percent(share)} of the error", f"Share of {brief(field, 2 * _NAME)}, from 0 to 100 %")
    return (
        f"<tr><th>{_breakable(safe(brief(field, 2 * _NAME)))}</th><td>{_value(feature.get('actual'))}</td>"
        f'<td>{_expected(feature.get("expected"))}</td><td class="share">{percent(share)}{drawn}</td></tr>'
    )


def _expected(expected: Any) -> str:
    """A value, or the likeliest levels of a category in words, such as `mail (62 %), http (12 %), …`."""
    if not isinstance(expected, list | tuple) or not all(isinstance(choice, dict) for choice in expected):
        return _value(expected)
    shown = expected[:_CHOICES]
    total = sum(real(choice.get("probability")) or 0.0 for choice in shown)
    rest = ["…"] if len(expected) > len(shown) or (shown and total < _ALL) else []
    return ", ".join([*map(_choice, shown), *rest]) or _value(None)


def _choice(choice: dict[Any, Any]) -> str:
    return f"{_value(choice.get('value'))} <small>({percent(real(choice.get('probability')))})</small>"


def _breakable(name: str) -> str:
    """Allow a line break after each underscore and dot of a field's name."""
    return name.replace("_", "_<wbr>").replace(".", ".<wbr>")


def _value(value: Any) -> str:
    return "missing" if value is None else safe(value, _VALUE)


def _share(feature: dict[str, Any]) -> float:
    return min(max(real(feature.get("share")) or 0.0, 0.0), 1.0)


def _score(score: float) -> str:
    return f"{score:.1f}" if real(score) is not None else number(score)
