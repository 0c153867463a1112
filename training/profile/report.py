"""A profile as a table of fields to be read, and as one document for programs."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table as Grid
from rich.text import Text

from training.profile.candidates import Candidate
from training.profile.profile import Profile


def alerts_said(found: Profile) -> str:
    """What the alert rate means in a day."""
    flagged = found.flagged_a_day
    if found.rate is None or flagged is None:
        return f"{found.alert_rate:g} of all events; how many that is a day is unknown: no times to tell the event rate"
    return (
        f"{found.alert_rate:g} of all events: about {flagged:,.3g} flagged a day, at {found.rate:,.3g} events/s; "
        "those of an entity within the cooldown are one alert"
    )


def document(found: Profile) -> dict[str, Any]:
    """For programs; `configuration` is JSON and so YAML, as `offbeat run` takes it."""
    return {
        "source": found.source.name,
        "rows": found.source.table.rows,
        "fields": [
            {
                "field": field.name,
                "kind": field.kind,
                "types": field.types,
                "missing": round(field.missing, 6),
                "distinct": field.distinct,
                "transform": (field.verdict.feature or {}).get("transform", "none"),
                "feature": field.verdict.feature,
                "left_out": field.verdict.reason or None,
                "values": field.shape,
                "warnings": [caution.code for caution in field.cautions],
            }
            for field in found.fields
        ],
        "warnings": [{"field": c.field, "code": c.code, "text": c.text} for c in found.warnings],
        "suggestions": {
            "stream": found.stream,
            "entity": found.entity,
            "entity_candidates": [_candidate(candidate) for candidate in found.entities],
            "time": found.time,
            "time_candidates": [_candidate(candidate) for candidate in found.times],
            "alert_rate": found.alert_rate,
            "events_per_second": found.rate,
            "flagged_per_day": found.flagged_a_day,
        },
        "configuration": found.configuration,
    }


def grid(found: Profile) -> Grid:
    """One line per field."""
    title = Text(f"{found.source.name}: {found.source.table.rows:,} records", "bold")
    table = Grid(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("field", "kind", "types", "missing", "distinct", "transform", "values", "beware"):
        right = heading in ("missing", "distinct")
        table.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for field in found.fields:
        feature = field.verdict.feature or {}
        table.add_row(
            Text(one_line(field.name), "bold" if feature else "dim"), field.kind, ", ".join(field.types) or "-",
            f"{field.missing:.1%}", "-" if field.distinct is None else f"{field.distinct:,}",
            feature.get("transform") or feature.get("encoding") or "-", Text(one_line(field.shape)),
            Text(", ".join(caution.code for caution in found.warnings if caution.field == field.name), "yellow"),
        )  # fmt: skip
    return table


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {"field": candidate.field, "basis": candidate.basis, "usable": candidate.usable}


def one_line(text: str) -> str:
    """One line, whatever fields and values are called."""
    return "".join(char if char.isprintable() else "?" for char in text)
