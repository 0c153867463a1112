"""Profiles a sample: its fields, warnings, suggestions, and a configuration that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from training.profile.alert_rate import Expectation, suggest_alert_rate
from training.profile.candidates import Candidate, estimate_event_rate, find_entities, find_times
from training.profile.data_warnings import DataWarning
from training.profile.evidence.counters import always_changes
from training.profile.evidence.noise import find_noise
from training.profile.evidence.periods import parse_times
from training.profile.evidence.structure import describe_change_events, find_null_objects
from training.profile.fields import Field, describe_field
from training.profile.infer import MAX_FEATURES, Verdict, classify_columns, find_clashes
from training.profile.leaks import find_duplicates, leaks_labels, looks_like_label
from training.profile.proposal import build_configuration, try_decoding
from training.profile.treatment import Roles, revise
from training.tables.table import Table
from worker.config.sections import AlertSettings
from worker.core.events.columns import category
from worker.errors import ConfigError

_MAX_NOTES = 5


@dataclass(frozen=True, slots=True)
class Source:
    """A sample of n rows, and where it came from.

    For a topic: `timestamps` (n,) of the records in ms since 1970 and their `partitions` (n,); `values` are some of the
    records' bytes. `keyed` is True if the record keys recur, as the names of entities do.
    """

    name: str
    table: Table
    topic: str | None = None
    bootstrap: str = "localhost:9092"
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)  # there may be passwords in it
    timestamps: npt.NDArray[np.float64] | None = None
    partitions: npt.NDArray[np.int64] | None = None
    values: Sequence[bytes] = field(default=(), repr=False)
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile and the configuration that follows from it.

    `entity` and `time` are the chosen candidates, None if no candidate is usable. `alert_rate` is a share of events;
    `event_rate` is in events per second, None if unknown.
    """

    source: Source
    stream: str
    fields: tuple[Field, ...]
    warnings: tuple[DataWarning, ...]
    entities: tuple[Candidate, ...]
    entity: str | None
    times: tuple[Candidate, ...]
    time: str | None
    event_rate: float | None
    alert_rate: float
    configuration: dict[str, Any]

    @property
    def expectation(self) -> Expectation:
        """What the proposed alert rate leads to."""
        entities = next((field.distinct for field in self.fields if field.name == self.entity), None)
        cooldown = float(AlertSettings.model_fields["cooldown"].default)
        return Expectation(self.alert_rate, self.source.table.rows, self.event_rate, entities, cooldown)

    @property
    def left_out(self) -> list[Field]:
        return [field for field in self.fields if field.verdict.feature is None]


def profile(source: Source, stream: str) -> Profile:
    """Profile a sample. Raises ConfigError if no field can be a feature, or if the stream's name is invalid."""
    columns = source.table.columns
    verdicts = classify_columns(columns)
    described = {name: describe_field(name, values, verdicts[name]) for name, values in columns.items()}
    leaks = _find_leaks(described, source.table)
    eligible = [field for name, field in described.items() if name not in leaks]
    times = find_times(eligible, columns)
    time = next((candidate.field for candidate in times if candidate.usable), None)
    entities = [candidate for candidate in find_entities(eligible) if candidate.field != time]
    entity = next((candidate.field for candidate in entities if candidate.usable and not source.keyed), None)
    known_times = parse_times(columns[time]) if time is not None else source.timestamps
    roles = Roles(
        entity,
        time,
        None if entity is None else list(map(category, columns[entity])),
        known_times,
        frozenset(candidate.field for candidate in times if candidate.usable or described[candidate.field].is_time),
        leaks,
        find_null_objects(columns),
    )
    fields, surplus = _limit_features([revise(field, columns[field.name], roles) for field in described.values()])
    features = [feature for field in fields for feature in field.verdict.features]
    if not features:
        notes = source.table.notes[:_MAX_NOTES]
        reasons = "; ".join([*(f"{field.name[:100]}: {field.verdict.reason}" for field in fields), *notes])
        raise ConfigError(f"{source.name}: no field can be a feature: {reasons}")
    alert_rate = suggest_alert_rate(source.table.rows)
    kafka = (source.bootstrap, source.topic, source.properties)
    proposed = build_configuration(stream, kafka, {"entity": entity, "time": time}, features, alert_rate)
    warnings = [*_collect_warnings(fields, described, source.table), *_find_noise(fields, columns, entity), *surplus]
    warnings += _hint_at_standstill(fields, columns, roles)
    warnings += try_decoding(proposed, source.table, source.values)
    return Profile(
        source=source,
        stream=stream,
        fields=tuple(fields),
        warnings=tuple(warnings),
        entities=tuple(entities),
        entity=entity,
        times=tuple(times),
        time=time,
        event_rate=None if known_times is None else estimate_event_rate(known_times, source.partitions),
        alert_rate=alert_rate,
        configuration=proposed,
    )


def _collect_warnings(fields: list[Field], described: Mapping[str, Field], table: Table) -> list[DataWarning]:
    warnings = [warning for field in fields for warning in field.warnings]
    warnings += find_duplicates(table.columns, described)
    for name, reason in find_clashes(table.columns).items():
        warnings.append(DataWarning("clash", f"{reason}; the worker rejects one of the two", name))
    change_events = describe_change_events(table.columns)
    if change_events:
        warnings.append(DataWarning("change-events", change_events))
    used = [field.name for field in fields if field.verdict.feature is not None]
    if len(used) == 1:
        warnings.append(DataWarning("one-feature", f"{used[0]} is the only feature; offbeat judges fields together"))
    return warnings + [DataWarning("sample", note) for note in table.notes]


def _find_noise(fields: list[Field], columns: Mapping[str, Sequence[Any]], entity: str | None) -> list[DataWarning]:
    """A warning for each feature that seems to be noise. The entity is none: it tells whose event it is."""
    kinds = {field.name: field.kind for field in fields if field.kind in ("numeric", "categorical", "boolean")}
    text = "varies evenly and with no other feature, as a random port or hash does: it tells nothing, leave it out"
    return [DataWarning("noise", text, name) for name in find_noise(columns, kinds) if name != entity]


def _hint_at_standstill(fields: list[Field], columns: Mapping[str, Sequence[Any]], roles: Roles) -> list[DataWarning]:
    """A hint at the numbers that always change, so that one that stands still could be seen.

    It is not proposed: on the stream of sensors in the benchmarks such a feature finds the standstill, and costs other
    kinds of anomaly more than that.
    """
    if roles.entities is None:
        return []
    numbers = [field.name for field in fields if field.kind == "numeric"]
    found = [name for name in numbers if always_changes(columns[name], roles.entities, roles.times)][:_MAX_NOTES]
    if not found:
        return []
    text = f"of one {roles.entity} always change: to see one stand still, add {{field: …, kind: unchanged}} for it"
    return [DataWarning("unchanged", f"the values of {', '.join(found)} {text}")]


def _find_leaks(described: Mapping[str, Field], table: Table) -> dict[str, str]:
    """Find the fields that leak the label, with the reason."""
    leaks = {}
    for name, values in table.columns.items():
        if table.labels is not None and leaks_labels(values, table.labels):
            leaks[name] = "leaking: each of its values occurs with one label only"
        elif looks_like_label(name) and described[name].types:
            leaks[name] = "leaking, by its name: new events will not have it"
    return leaks


def _limit_features(fields: list[Field]) -> tuple[list[Field], list[DataWarning]]:
    """Keep the first 500 features, and warn if there are more."""
    names = [field.name for field in fields if field.verdict.feature is not None]
    surplus = set(names[MAX_FEATURES:])
    if not surplus:
        return fields, []
    verdict = Verdict(None, f"beyond the first {MAX_FEATURES} features")
    limited = [replace(field, verdict=verdict) if field.name in surplus else field for field in fields]
    return limited, [DataWarning("many", f"{len(names)} fields could be features; only the first {MAX_FEATURES} are")]
