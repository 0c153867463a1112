"""The configuration that a profile proposes, with a reason beside each line."""

from __future__ import annotations

from typing import Any

import yaml

from training.profile.candidates import Candidate
from training.profile.fields import Field
from training.profile.profile import Profile
from training.profile.report import alerts_said, one_line
from worker.config.refused_properties import is_secret


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


class _Dumper(yaml.SafeDumper):
    """Texts that are not plain to see go into double quotes, on one line."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"'
    ),
)


def _dumped(plain: Any, *, flow: bool) -> str:
    text: str = yaml.dump(plain, Dumper=_Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True,
                          width=10**9)  # fmt: skip
    return text.removesuffix("...\n").rstrip("\n")


def _block(plain: dict[str, Any]) -> list[str]:
    return _dumped(plain, flow=False).split("\n")


def _flow(plain: Any) -> str:
    return _dumped(plain, flow=True)


def _comment(text: str) -> str:
    return f"# {one_line(text)}"
