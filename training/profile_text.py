"""A profile to be read: the commented configuration, the table of fields, and one document for programs."""

from __future__ import annotations

from typing import Any

import yaml
from rich import box
from rich.table import Table as Grid
from rich.text import Text

from training.candidates import Candidate
from training.fields import Field
from training.profile import Profile
from worker.kafka_rules import is_secret


def commented_yaml(found: Profile) -> str:
    """The configuration with a reason beside each line; fields that are left out stay as comments."""
    proposed, source = found.configuration, found.source
    lines = [
        _comment(f"Proposed by `offbeat profile` from {source.table.rows:,} records of {source.name}."),
        "# Read it, change it, and run it: offbeat run -c FILE --with-trainer",
        *_block({"stream": proposed["stream"]}),
        *_block({"kafka": proposed["kafka"]}),
        *_secrets(found),
        *_block({"redis": proposed["redis"]}),
        *_role_comments("entity", found.entities, found.entity,
                        "the record's key is" if source.keyed else "without it the record's key is"),
        *_role_comments("time", found.times, found.time, "without it the record's timestamp is"),
        *_block({"event": proposed["event"]}),
        "features:",
    ]  # fmt: skip
    lines += [f"  - {_flow(field.verdict.feature)}  {_comment(_said(field))}"
              for field in found.fields if field.verdict.feature is not None]  # fmt: skip
    out = [field for field in found.fields if field.verdict.feature is None]
    lines += ["  # Left out:"] if out else []
    lines += [f"  # - {_flow(field.readable_as or {'field': field.name})}  "
              f"{_comment(f'{field.verdict.reason}; {field.shape}')}" for field in out]  # fmt: skip
    lines += ["threshold:", f"  {_comment(alerts_said(found))}", f"  alert_rate: {_flow(found.alert_rate)}"]
    lines += ["# Warnings:"] if found.warnings else []
    lines += [_comment(f"  {caution}") for caution in found.warnings]
    return "\n".join(lines) + "\n"


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


def _role_comments(role: str, candidates: tuple[Candidate, ...], chosen: str | None, otherwise: str) -> list[str]:
    lines = [_comment(f"{role}: {otherwise} used.")] if chosen is None else []
    for candidate in candidates:
        verb = "chosen" if candidate.field == chosen else "possible" if candidate.usable else "to be judged"
        lines.append(_comment(f"{role}: {candidate.field}, {verb}: {candidate.basis}"))
    return lines


def _secrets(found: Profile) -> list[str]:
    names = [name for name in found.source.properties if is_secret(name)]
    return [
        _comment(f'  {name} is a secret and not written here: OFFBEAT_KAFKA__PROPERTIES=\'{{"{name}": "…"}}\'')
        for name in names
    ]


def _said(field: Field) -> str:
    missing = [f"{field.missing:.1%} missing"] if field.missing else []
    return "; ".join([field.shape, *missing, *(caution.text for caution in field.cautions)])


def _block(plain: dict[str, Any]) -> list[str]:
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=10**9)
    return text.rstrip("\n").split("\n")


def _flow(plain: Any) -> str:
    text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    return text.removesuffix("...\n").rstrip("\n")


def _comment(text: str) -> str:
    return f"# {one_line(text)}"


def one_line(text: str) -> str:
    """One line, whatever fields and values are called."""
    return "".join(char if char.isprintable() else "?" for char in text)
