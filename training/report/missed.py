"""The report's missed anomalies: a card for each, with the reason why it was not flagged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.report.alerts import feature_table, whose
from training.report.words import amount, brief, number, percent, safe

CARDS = 100
OPEN = 4
"""Cards that are shown; the rest are folded away."""
LARGEST = 3
STOOD_OUT = 0.95
"""A feature stood out if it stands out from more than this share of the rows, and looked normal if it contributed less
to the error than is usual in the rest of the rows.
"""
_NAMED = 6
_NAME = 40


@dataclass(frozen=True, slots=True)
class Surprise:
    """How surprising a feature of a row was. `above` is the share of other rows, from 0 to 1, in which it contributed
    less to the error; `apart` the share of those in which it was a smaller part of the error. All contributions are
    large in a row with a large error, so a feature stands out only by both.
    """

    field: str
    above: float
    apart: float

    @property
    def stands_out(self) -> float:
        return min(self.above, self.apart)


@dataclass(frozen=True, slots=True)
class MissedAnomaly:
    """A labelled anomaly that was not flagged: the `place` of its error among the `rows` scored, 1 for the largest.

    `features` are as in `TopAlert`. `surprises` are of all features, those that stand out most first. `kind` is the
    label's kind of anomaly, None if it names none.
    """

    row: int
    entity: str | None
    event_time: str | None
    kind: str | None
    p_value: float
    place: int
    rows: int
    features: list[dict[str, Any]]
    surprises: list[Surprise]


def missed_section(missed: Sequence[MissedAnomaly], count: int) -> str:
    """A section on some of the `count` missed anomalies, in the order given."""
    if not missed:
        return ""
    cards = [_card(anomaly) for anomaly in missed[:CARDS]]
    shown, folded = "\n".join(cards[:OPEN]), "\n".join(cards[OPEN:])
    more = f"{amount(len(cards) - OPEN, 'more missed anomaly', 'more missed anomalies')}"
    more += f" of {count - OPEN:,}" * (count > len(cards))
    rest = f'<details><summary>{more}</summary><div class="alerts">\n{folded}\n</div></details>' if folded else ""
    return (
        f'<section><h2>The missed anomalies</h2><p class="note">{amount(count, "anomaly", "anomalies")} not flagged, '
        "those closest to being flagged first. Each shows the largest parts of its error, and which features stood out "
        "or looked normal, compared with the same features in other rows.</p>\n"
        f'<div class="alerts">\n{shown}\n</div>\n{rest}</section>'
    )


def _card(missed: MissedAnomaly) -> str:
    kind = f'<span class="mark hit">{safe(missed.kind, 40)}</span>' if missed.kind is not None else ""
    place = f"place {missed.place:,} of {missed.rows:,}"
    meta = [*whose(missed.entity, missed.event_time), place, f"p {number(missed.p_value)}"]
    return (
        f"<article><h3>Row {missed.row:,}{kind}</h3>"
        f'<p class="meta">{" · ".join(meta)}</p>{feature_table(missed.features[:LARGEST])}'
        f'<p class="note">{_reason(missed)}</p></article>'
    )


def _reason(missed: MissedAnomaly) -> str:
    """Which features stood out and which did not, as HTML."""
    out = [surprise for surprise in missed.surprises if surprise.stands_out >= STOOD_OUT]
    usual = [surprise for surprise in missed.surprises if surprise.above < STOOD_OUT]
    if out:
        named = [f"{_name(one)} (more than in {percent(one.stands_out)} of the rows)" for one in out[:_NAMED]]
        text = f"Stood out: {_join(named, len(out))}."
    elif missed.surprises:
        first = missed.surprises[0]
        text = (
            f"No feature stood out: {_name(first)}, which did so most, stands out as much or more in "
            f"{percent(1.0 - first.stands_out)} of the rows."
        )
        usual = [surprise for surprise in usual if surprise is not first]
    else:
        return ""
    if usual:
        text += f" Looked normal: {_join([_name(one) for one in usual[:_NAMED]], len(usual))}."
    return f"{text} An alert rate of about {100.0 * missed.p_value:.4g}\N{NO-BREAK SPACE}% would have flagged the row."


def _join(named: list[str], count: int) -> str:
    return ", ".join(named) + (f" and {count - len(named):,} more" if count > len(named) else "")


def _name(surprise: Surprise) -> str:
    return safe(brief(surprise.field, _NAME))
