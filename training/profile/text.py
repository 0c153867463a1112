"""Renders the proposed configuration as YAML, with a comment that explains each line."""

from __future__ import annotations

from typing import Any

import yaml

from training.profile.alert_rate import describe_entities
from training.profile.candidates import Candidate
from training.profile.fields import Field
from training.profile.profile import Profile
from training.profile.report import one_line
from worker.config.refused_properties import is_secret


def commented_yaml(profile: Profile) -> str:
    """The configuration with a comment on each line. Fields that are no features follow as comments."""
    proposed, source = profile.configuration, profile.source
    no_entity = "the record key is used" if source.keyed else "no field is configured, so the record key is used"
    no_time = "no field is configured, so the record timestamp is used"
    lines = [
        _comment(f"Proposed by `offbeat profile` from {source.table.rows:,} records of {source.name}."),
        "# Read it, change it, and run it: offbeat run -c FILE --with-trainer",
        *_block({"stream": proposed["stream"]}),
        *_block({"kafka": proposed["kafka"]}),
        *_secrets(profile),
        _comment("redis: an assumption, which nothing in the sample can tell. Change it to the address of your Redis."),
        *_block({"redis": proposed["redis"]}),
        *_role_comments("entity", profile.entities, profile.entity, no_entity),
        *_entity_comment(profile),
        *_role_comments("time", profile.times, profile.time, no_time),
        *_block({"event": proposed["event"]}),
        "features:",
    ]
    features = [field for field in profile.fields if field.verdict.feature is not None]
    for field in features:
        lines += [f"  - {_flow(feature)}  {_comment(_describe(field))}" for feature in field.verdict.features]
    lines += ["  # Left out:"] if profile.left_out else []
    for field in profile.left_out:
        feature = field.readable_as or {"field": field.name}
        reason = "; ".join(dict.fromkeys((field.verdict.reason, field.summary)))
        lines.append(f"  # - {_flow(feature)}  {_comment(reason)}")
    lines += ["threshold:", *(f"  {_comment(f'{sentence}.')}" for sentence in profile.expectation.describe())]
    lines += [f"  alert_rate: {_flow(profile.alert_rate)}"]
    lines += ["# Warnings:"] if profile.warnings else []
    lines += [_comment(f"  {warning}") for warning in profile.warnings]
    return "\n".join(lines) + "\n"


def _role_comments(role: str, candidates: tuple[Candidate, ...], chosen: str | None, default: str) -> list[str]:
    lines = [_comment(f"{role}: {default}.")] if chosen is None else []
    for candidate in candidates:
        status = "chosen" if candidate.field == chosen else "possible" if candidate.usable else "please check"
        lines.append(_comment(f"{role}: {candidate.field}, {status}: {candidate.basis}"))
    return lines


def _entity_comment(profile: Profile) -> list[str]:
    expectation = profile.expectation
    if expectation.entities is None:
        return []
    text = describe_entities(expectation.entities, expectation.event_rate, expectation.cooldown)
    return [_comment(f"entity: {text}.")]


def _secrets(profile: Profile) -> list[str]:
    names = [name for name in profile.source.properties if is_secret(name)]
    return [
        _comment(f'  {name} is a secret and is not written here: OFFBEAT_KAFKA__PROPERTIES=\'{{"{name}": "…"}}\'')
        for name in names
    ]


def _describe(field: Field) -> str:
    missing = [f"{field.missing:.1%} missing"] if field.missing else []
    reason = [text for text in (field.verdict.note, field.verdict.reason) if text]
    return "; ".join([field.summary, *missing, *(warning.text for warning in field.warnings), *reason])


class _Dumper(yaml.SafeDumper):
    """Writes texts with unprintable characters in double quotes, on one line."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"'
    ),
)


def _dump(plain: Any, *, flow: bool) -> str:
    text: str = yaml.dump(
        plain, Dumper=_Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=10**9
    )
    return text.removesuffix("...\n").rstrip("\n")


def _block(plain: dict[str, Any]) -> list[str]:
    return _dump(plain, flow=False).split("\n")


def _flow(plain: Any) -> str:
    return _dump(plain, flow=True)


def _comment(text: str) -> str:
    return f"# {one_line(text)}"
