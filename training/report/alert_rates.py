"""The report's table of what other alert rates would have given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.report.words import percent, real


def alert_rates_section(summary: Mapping[str, Any], *, labelled: bool) -> str:
    """A section with one line per alert rate; empty if the summary has none."""
    rates = [rate for rate in summary.get("alert_rates") or [] if isinstance(rate, Mapping)]
    if not rates:
        return ""
    daily = any(real(rate.get("alerts_per_day")) is not None for rate in rates)
    heads = ["alert rate", "rows flagged", "share", "alerts", *["alerts a day"] * daily]
    heads += ["anomalies found", "flagged that are anomalies"] * labelled
    lines = "".join([_line(rate, daily=daily, labelled=labelled) for rate in rates])
    head = "".join([f'<th class="n">{name}</th>' for name in heads])
    assumed = "" if daily else " The file has no event times, so that one second a row is assumed for the cooldown."
    apart = "" if summary.get("entity") else " No entity is configured, so that all rows share one cooldown."
    return (
        '<section><h2>Other alert rates</h2><p class="note">What this run would have flagged at other alert rates, and '
        "the alerts that are left after noise control: rows that open an incident, or update one after its cooldown."
        f"{assumed}{apart} A run at another rate may differ a little, because its thresholds adapt at that rate.</p>\n"
        f'<div class="wider"><table class="rates"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
        "</section>"
    )


def _line(rate: Mapping[str, Any], *, daily: bool, labelled: bool) -> str:
    cells = [
        percent(real(rate.get("alert_rate"))),
        _count(rate.get("flagged")),
        percent(real(rate.get("flagged_share"))),
    ]
    cells += [_count(rate.get("alerts"))]
    cells += [_count(rate.get("alerts_per_day"))] if daily else []
    cells += [percent(real(rate.get("recall"))), percent(real(rate.get("precision")))] if labelled else []
    own = bool(rate.get("configured"))
    drawn = "".join([f'<td class="n">{f"<strong>{cell}</strong>" if own else cell}</td>' for cell in cells])
    return f"<tr>{drawn}</tr>"


def _count(value: Any) -> str:
    found = real(value)
    if found is None:
        return "–"
    return f"{found:,.0f}" if found >= 10 or found == int(found) else f"{found:.1f}"
