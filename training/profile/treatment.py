"""Revises the verdicts on fields once the entity and the event time are known, and says what it left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from training.profile.data_warnings import UNREADABLE_UNIT, DataWarning, epoch_unit
from training.profile.evidence.counters import grows_evenly, looks_like_counter
from training.profile.evidence.names import IDENTIFIER_WORDS, TIME_WORDS, words_of
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
    numbers = field.types and set(field.types) <= {"integer", "number"}
    if numbers and field.name == roles.entity:
        return replace(field, verdict=Verdict(None, "the entity"))
    if numbers and (field.is_counter or looks_like_counter(values, roles.entities, roles.times)):
        return replace(field, verdict=treat_counter(field.name, values, roles))
    if field.kind != "numeric":
        return field
    if field.is_identifier:
        return replace(field, verdict=Verdict(None, "an identifier, by its name: no value repeats"))
    return field


def treat_counter(name: str, values: Sequence[Any], roles: Roles) -> Verdict:
    """The verdict on a counter, (n,) `values`: its value says nothing, since it leaves the range that the model has
    seen. How fast it grows does. An identifier or a clock grows at its own pace, and is left out.
    """
    words = words_of(name)
    if not IDENTIFIER_WORDS.isdisjoint(words):
        return Verdict(None, "an identifier, by its name, or a sequence: it only grows, which tells nothing")
    if not TIME_WORDS.isdisjoint(words):
        return Verdict(None, "a clock or a counter, by its name a clock: it only grows, which tells nothing")
    own = None if roles.entities is None or looks_like_counter(values, None, roles.times) else roles.entities
    if grows_evenly(values, own, roles.times):
        return Verdict(None, "a clock or a counter: it only grows, nearly always by the same step, as identifiers do")
    feature = {"field": name, "kind": "delta", "counter": True, "per": "second"}
    note = "a counter: its value grows and will leave the range seen so far, so how fast it grows is read, per second"
    if roles.entity is None:
        note += (
            ", from event to event. No field names the entity: this is right if the events of one record key, or all "
            "events if records have no keys, come from one producer"
        )
    elif own is None:
        note += (
            f", since the last event of the same {roles.entity}. It is one counter for all of them, so that a jump "
            f"shows at the next event of each {roles.entity}"
        )
    return Verdict(feature, note=note)


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
