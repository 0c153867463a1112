"""Which fields could be the entity and the event time, and how often events come by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from training.profile.fields import Field, words_of
from training.tables.values import is_time_text, present
from worker.core.events.event_time import SECONDS_BELOW, milliseconds

_THINGS = {"id", "user", "username", "account", "customer", "client", "device", "sensor", "machine", "card", "merchant",
           "node", "vehicle", "asset", "tenant", "session"}  # fmt: skip
_PLACES = {"ip", "addr", "address", "host", "hostname", "service", "src", "source", "pod", "mac", "imei", "entity"}
_TIMES = {"time", "ts", "timestamp", "date", "datetime", "at", "when", "created", "occurred", "epoch", "utc"}
_FROM_MS, _TO_MS = 946_684_800_000.0, 4_102_444_800_000.0
"""The years 2000 to 2100: a number outside them is hardly the time of an event in a stream."""
_MISSING = 0.05
_PER_ENTITY = 2.0
_IN_ORDER = 0.9
_SPREAD = (0.05, 0.95)


@dataclass(frozen=True, slots=True)
class Candidate:
    """`basis` says what speaks for the field; `usable` whether it can be written into a configuration unseen."""

    field: str
    basis: str
    usable: bool


def entities(fields: Sequence[Field]) -> list[Candidate]:
    """Best first: fields that name a thing which comes again and again. Usable where the name says so too."""
    found = []
    for field in fields:
        count = sum(field.types.values())
        if not field.verdict.scalar or not field.distinct or field.distinct < 2 or field.missing > _MISSING:
            continue
        if not set(field.types) <= {"text", "integer"} or field.kind == "cyclic":
            continue
        words = words_of(field.name)
        named = words[-1:] != [] and words[-1] in _THINGS
        if "text" in field.types:
            named = not (_THINGS | _PLACES).isdisjoint(words)
        if count / field.distinct >= _PER_ENTITY and (named or "text" in field.types):
            basis = f"{field.distinct:,} values, {count / field.distinct:,.1f} events each"
            found.append((named, field.distinct, Candidate(field.name, basis, named)))
    return [candidate for *_, candidate in sorted(found, key=lambda entry: (-entry[0], -entry[1]))]


def times(fields: Sequence[Field], columns: Mapping[str, Sequence[Any]]) -> list[Candidate]:
    """Best first: ISO 8601 text, numbers that are plausible as seconds or milliseconds since 1970, and last, not
    usable, numbers that merely grow.
    """
    found = []
    for field in fields:
        if not field.verdict.scalar or field.missing > 0.5:
            continue
        known = present(columns[field.name])
        basis, usable = _basis(known, field)
        if basis:
            named = not _TIMES.isdisjoint(words_of(field.name))
            found.append((usable, named, -field.missing, Candidate(field.name, basis, usable)))
    return [candidate for *_, candidate in sorted(found, key=lambda entry: entry[:3], reverse=True)]


def _basis(known: list[Any], field: Field) -> tuple[str, bool]:
    if set(field.types) == {"text"} and is_time_text(known):
        fine = any(len(value) > 10 for value in known)
        return ("ISO 8601", True) if fine else ("dates, without a time of day", False)
    if not field.types or not set(field.types) <= {"integer", "number"}:
        return "", False
    named = not _TIMES.isdisjoint(words_of(field.name))
    if _plausible(known) and (named or _in_order(known)):
        seconds = max(known) < SECONDS_BELOW
        return f"{'seconds' if seconds else 'milliseconds'} since 1970", True
    return ("only grows; its unit is unknown", False) if "clock" in field.verdict.reason else ("", False)


def _plausible(known: list[Any]) -> bool:
    least, most = float(min(known)), float(max(known))
    if (least < SECONDS_BELOW) != (most < SECONDS_BELOW):
        return False
    scale = 1_000.0 if most < SECONDS_BELOW else 1.0
    return least * scale >= _FROM_MS and most * scale <= _TO_MS


def _in_order(known: list[Any]) -> bool:
    pairs = len(known) - 1
    return pairs >= 1 and sum(before <= after for before, after in pairwise(known)) >= _IN_ORDER * pairs


def stamps(values: Sequence[Any]) -> npt.NDArray[np.float64]:
    """(n,) times as events write them to (n,) ms since 1970, nan where missing."""
    return np.array([np.nan if value is None else milliseconds(value) for value in values], np.float64)


def events_per_second(stamps: npt.NDArray[np.float64], partitions: npt.NDArray[np.int64] | None = None) -> float | None:
    """From (n,) times in ms and the partition of each; None where they do not tell.

    Each partition for itself: a sample reaches back further in a quiet one. The outer tenth of the times is left out,
    so that a stray one does not stretch the span.
    """
    groups = np.zeros(len(stamps), np.int64) if partitions is None else partitions
    total = 0.0
    for group in np.unique(groups):
        known = stamps[(groups == group) & np.isfinite(stamps)]
        if len(known) < 2:
            continue
        first, last = np.quantile(known, _SPREAD)
        if last > first:
            total += (_SPREAD[1] - _SPREAD[0]) * (len(known) - 1) / (last - first) * 1_000.0
    return total or None
