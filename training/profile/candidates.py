"""Finds fields that could be the entity or the event time, and estimates the event rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from training.profile.data_warnings import UNREADABLE_UNIT, epoch_unit
from training.profile.evidence.names import TIME_WORDS, words_of
from training.profile.fields import Field
from training.tables.values import drop_missing, is_time_text
from worker.core.events.event_time import SECONDS_BELOW

_THING_WORDS = {
    "id", "uid", "user", "username", "account", "customer", "client", "member", "employee", "driver", "device",
    "sensor", "machine", "meter", "card", "merchant", "shop", "store", "seller", "vendor", "node", "gateway", "server",
    "vehicle", "asset", "site", "plant", "tenant", "session",
}  # fmt: skip
"""Words in the names of fields that identify a thing, as a text or a number."""
_ADDRESS_WORDS = {
    "ip", "addr", "address", "host", "hostname", "service", "src", "source", "pod", "instance", "mac", "imei", "entity",
}  # fmt: skip
"""Words in the names of fields that identify a thing only if they hold texts."""
_FROM_MS, _TO_MS = 946_684_800_000.0, 4_102_444_800_000.0
"""The years 2000 and 2100 in ms since 1970. A number outside this range is unlikely to be an event's time."""
_MAX_MISSING = 0.05
_MIN_EVENTS_PER_ENTITY = 2.0
_MANY_EVENTS_PER_ENTITY = 5.0
_NAMING_WORDS = {"name", "key", "code", "no", "nr", "number"}
"""Last words of a path that identify what the words before them name, as in `device.name`."""
_MIN_IN_ORDER = 0.9
_SPREAD = (0.05, 0.95)


@dataclass(frozen=True, slots=True)
class Candidate:
    """`basis` is the evidence for the field. `usable` fields may be chosen without asking the user."""

    field: str
    basis: str
    usable: bool


def find_entities(fields: Sequence[Field]) -> list[Candidate]:
    """Fields with values that recur, best first. Those whose names suggest a thing as well are usable.

    Of several usable ones, the finest with at least five events of each value comes first: finer ones, such as a
    session of two events, have too little history.
    """
    ranked = []
    for field in fields:
        count = sum(field.types.values())
        if not field.verdict.scalar or not field.distinct or field.distinct < 2 or field.missing > _MAX_MISSING:
            continue
        if not set(field.types) <= {"text", "integer"} or field.kind == "cyclic" or field.is_time:
            continue
        each = count / field.distinct
        good_name = _names_thing(field)
        if each >= _MIN_EVENTS_PER_ENTITY and (good_name or "text" in field.types):
            basis = f"{field.distinct:,} values, {each:,.1f} events each"
            many = each >= _MANY_EVENTS_PER_ENTITY
            ranked.append((good_name, many, field.distinct, Candidate(field.name, basis, good_name)))
    return [candidate for *_, candidate in sorted(ranked, key=lambda entry: [-int(part) for part in entry[:3]])]


def _names_thing(field: Field) -> bool:
    words = words_of(field.name)
    if words[-1:] and words[-1] in _NAMING_WORDS:
        words = words[:-1] or words_of(field.name.rpartition(".")[0])
    if "text" in field.types:
        return not (_THING_WORDS | _ADDRESS_WORDS).isdisjoint(words)
    return words != [] and words[-1] in _THING_WORDS


def find_times(fields: Sequence[Field], columns: Mapping[str, Sequence[Any]]) -> list[Candidate]:
    """Fields that may hold the event time, best first.

    ISO 8601 texts and numbers that are plausible as seconds or milliseconds since 1970 are usable. Dates without a time
    of day and numbers that merely grow are not.
    """
    ranked = []
    for field in fields:
        if not field.verdict.scalar or field.missing > 0.5:
            continue
        known = drop_missing(columns[field.name])
        basis, usable = _basis(known, field)
        if basis:
            good_name = not TIME_WORDS.isdisjoint(words_of(field.name))
            ranked.append((usable, good_name, -field.missing, Candidate(field.name, basis, usable)))
    return [candidate for *_, candidate in sorted(ranked, key=lambda entry: entry[:3], reverse=True)]


def _basis(known: list[Any], field: Field) -> tuple[str, bool]:
    if set(field.types) == {"text"} and is_time_text(known):
        has_time_of_day = any(len(value) > 10 for value in known)
        return ("ISO 8601", True) if has_time_of_day else ("dates, without a time of day", False)
    if not field.types or not set(field.types) <= {"integer", "number"}:
        return "", False
    good_name = not TIME_WORDS.isdisjoint(words_of(field.name))
    if _is_plausible(known) and (good_name or _is_in_order(known)):
        seconds = max(known) < SECONDS_BELOW
        return f"{'seconds' if seconds else 'milliseconds'} since 1970", True
    unit = epoch_unit(known)
    if unit and (good_name or field.is_counter):
        return f"{unit} since 1970, {UNREADABLE_UNIT}", False
    return ("only grows; its unit is unknown", False) if "clock" in field.verdict.reason else ("", False)


def _is_plausible(known: list[Any]) -> bool:
    least, most = float(min(known)), float(max(known))
    if (least < SECONDS_BELOW) != (most < SECONDS_BELOW):
        return False
    scale = 1_000.0 if most < SECONDS_BELOW else 1.0
    return least * scale >= _FROM_MS and most * scale <= _TO_MS


def _is_in_order(known: list[Any]) -> bool:
    pairs = len(known) - 1
    return pairs >= 1 and sum(before <= after for before, after in pairwise(known)) >= _MIN_IN_ORDER * pairs


def estimate_event_rate(
    times: npt.NDArray[np.float64], partitions: npt.NDArray[np.int64] | None = None
) -> float | None:
    """Events per second, from (n,) times in ms and the (n,) partition of each; None if there are too few times.

    Rates are summed over partitions, because a sample reaches further back in a quiet partition than in a busy one. The
    first and last 5 % of the times are ignored, so that an outlier cannot stretch the span.
    """
    groups = np.zeros(len(times), np.int64) if partitions is None else partitions
    total = 0.0
    for group in np.unique(groups):
        known = times[(groups == group) & np.isfinite(times)]
        if len(known) < 2:
            continue
        first, last = np.quantile(known, _SPREAD)
        if last > first:
            total += (_SPREAD[1] - _SPREAD[0]) * (len(known) - 1) / (last - first) * 1_000.0
    return total or None
