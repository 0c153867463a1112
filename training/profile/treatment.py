"""Revises the verdicts on fields once the entity and the event time are known, and says what it left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from training.profile.data_warnings import UNREADABLE_UNIT, DataWarning, epoch_unit
from training.profile.evidence.counters import looks_like_counter
from training.profile.evidence.periods import DAY_MS, parse_times
from training.profile.evidence.structure import MAX_NULL
from training.profile.fields import Field
from training.profile.infer import Verdict, judge_time
from training.tables.values import drop_missing


@dataclass(frozen=True, slots=True)
class Roles:
    """What is known about the sample as a whole, n rows.

    `entity` and `time` are the chosen fields, `entities` (n,) the entity of each row and `times` (n,) its time in ms;
    None if there are none. `other_times` are fields that hold times too. `leaks` has the reason why a field leaks the
    label, and `null_objects` the share of events in which an object is null.
    """

    entity: str | None
    time: str | None
    entities: Sequence[str | None] | None
    times: npt.NDArray[np.float64] | None
    other_times: frozenset[str] = frozenset()
    leaks: Mapping[str, str] = field(default_factory=dict)
    null_objects: Mapping[str, float] = field(default_factory=dict)


def revise(field: Field, values: Sequence[Any], roles: Roles) -> Field:
    """Revise the verdict on a field with the (n,) `values`.

    The worker cannot read a field as a number and as entity or time at once: a time becomes the time of day, and a
    numeric entity is no feature.
    """
    leak = roles.leaks.get(field.name)
    if leak is not None:
        warnings = (*field.warnings, DataWarning("leaking", leak, field.name))
        return replace(field, verdict=Verdict(None, leak), warnings=warnings)
    null = next((path for path in roles.null_objects if field.name.startswith(f"{path}.")), None)
    if null is not None and field.verdict.feature is not None:
        return _in_null_object(field, null, roles.null_objects[null])
    if field.name == roles.time:
        return replace(field, verdict=judge_time(field.name, drop_missing(values)), warnings=())
    if field.name in roles.other_times:
        return replace(field, verdict=_other_time(field.name, values, roles), warnings=())
    unit = epoch_unit(drop_missing(values)) if field.types and set(field.types) <= {"integer", "number"} else ""
    if unit:
        return replace(field, verdict=Verdict(None, f"a time in {unit} since 1970, {UNREADABLE_UNIT}"))
    if field.kind != "numeric":
        return field
    if field.name == roles.entity:
        return replace(field, verdict=Verdict(None, "the entity"))
    if field.is_counter or looks_like_counter(values, roles.entities, roles.times):
        return replace(field, verdict=treat_counter(field.name))
    if field.is_identifier:
        return replace(field, verdict=Verdict(None, "an identifier, by its name: no value repeats"))
    return field


def treat_counter(name: str) -> Verdict:
    """The verdict on a counter: its value says nothing, since it leaves the range that the model has seen.

    What tells something is the difference from the entity's last value. A feature of that kind would go into the
    verdict's `feature` here.
    """
    reason = "a clock or a counter: it grows steadily, apart from resets, and will leave the range seen so far"
    return Verdict(None, f"{reason}; what could be learned is how fast it grows")


def _in_null_object(field: Field, path: str, share: float) -> Field:
    text = f"{path} is null or absent in {share:.1%} of the events, and the worker rejects an event where it is null"
    if share > MAX_NULL:
        return replace(field, verdict=Verdict(None, text))
    return replace(field, warnings=(*field.warnings, DataWarning("null-object", text, field.name)))


def _other_time(name: str, values: Sequence[Any], roles: Roles) -> Verdict:
    """The verdict on a time that is not the event time: a time of day, if the event itself happens then."""
    if roles.times is not None:
        apart = np.abs(parse_times(values) - roles.times)
        if np.isfinite(apart).any() and float(np.nanmedian(apart)) > DAY_MS:
            days = float(np.nanmedian(apart)) / DAY_MS
            return Verdict(None, f"a time, but not that of the event: half of the values are {days:,.3g} days from it")
    return judge_time(name, drop_missing(values))
