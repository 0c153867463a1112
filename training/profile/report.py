"""Renders a profile as a table of fields for people, and as one document for programs."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table as Grid
from rich.text import Text

from training.profile.candidates import Candidate
from training.profile.profile import Profile


def summary(profile: Profile) -> list[str]:
    """What was left out and why, the warnings about the other fields, and the alerts to expect, one line each."""
    lines = [f"left out: {field.name}: {field.verdict.reason}" for field in profile.left_out]
    used = [field for field in profile.fields if field.verdict.feature is not None]
    lines += [f"left out in part: {field.name}: {field.verdict.reason}" for field in used if field.verdict.reason]
    lines += [f"read as {field.kind}: {field.name}: {field.verdict.note}" for field in used if field.verdict.note]
    gone = {field.name for field in profile.left_out}
    lines += [f"warning: {warning}" for warning in profile.warnings if warning.field not in gone]
    return [*lines, f"alert_rate: {'. '.join(profile.expectation.describe())}."]


def document(profile: Profile) -> dict[str, Any]:
    """A profile for programs. `configuration` is JSON, and therefore YAML that `offbeat run` accepts."""
    return {
        "source": profile.source.name,
        "rows": profile.source.table.rows,
        "fields": [
            {
                "field": field.name,
                "kind": field.kind,
                "types": field.types,
                "missing": round(field.missing, 6),
                "distinct": field.distinct,
                "transform": (field.verdict.feature or {}).get("transform", "none"),
                "feature": field.verdict.feature,
                "more_features": list(field.verdict.more),
                "left_out": field.verdict.reason or None,
                "note": field.verdict.note or None,
                "values": field.summary,
                "warnings": [warning.code for warning in field.warnings],
            }
            for field in profile.fields
        ],
        "warnings": [{"field": c.field, "code": c.code, "text": c.text} for c in profile.warnings],
        "suggestions": {
            "stream": profile.stream,
            "entity": profile.entity,
            "entity_candidates": [_candidate(candidate) for candidate in profile.entities],
            "time": profile.time,
            "time_candidates": [_candidate(candidate) for candidate in profile.times],
            "alert_rate": profile.alert_rate,
            "events_per_second": profile.event_rate,
            "flagged_per_day": profile.expectation.flagged_per_day,
        },
        "configuration": profile.configuration,
    }


def fields_table(profile: Profile) -> Grid:
    """One line per field."""
    title = Text(f"{profile.source.name}: {profile.source.table.rows:,} records", "bold")
    table = Grid(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("field", "kind", "types", "missing", "distinct", "transform", "values", "warnings"):
        right = heading in ("missing", "distinct")
        table.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for field in profile.fields:
        feature = field.verdict.feature or {}
        codes = ", ".join(warning.code for warning in profile.warnings if warning.field == field.name)
        table.add_row(
            Text(one_line(field.name), "bold" if feature else "dim"),
            field.kind,
            ", ".join(field.types) or "-",
            f"{field.missing:.1%}",
            "-" if field.distinct is None else f"{field.distinct:,}",
            feature.get("transform") or feature.get("encoding") or "-",
            Text(one_line(field.summary)),
            Text(codes, "yellow"),
        )
    return table


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {"field": candidate.field, "basis": candidate.basis, "usable": candidate.usable}


def one_line(text: str) -> str:
    """`text` with unprintable characters, line breaks among them, replaced by question marks."""
    return "".join(char if char.isprintable() else "?" for char in text)
