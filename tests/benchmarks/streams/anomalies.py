"""Plants anomalies of named kinds into a stream of normal events.

While a stream is made, an event is flat: a dict from dotted paths to values. `nested` turns it into what a topic holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.benchmarks.streams.draws import Random

Flat = dict[str, Any]
Truth = dict[int, str]
Stream = tuple[list[dict[str, Any]], Truth]

FIRST_ANOMALY = 3_000
SHARE = 0.004


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of anomaly: the events that it can befall, and how it changes one.

    `spoil` gets the event, another normal event of the stream for which `other` holds, and the generator.
    """

    name: str
    spoil: Callable[[Flat, Flat, Random], None]
    where: Callable[[Flat], bool] = lambda event: True
    other: Callable[[Flat], bool] = lambda event: True


def flat_events(columns: Mapping[str, Any]) -> list[Flat]:
    """Rows from columns of equal length; a None is left out."""
    lists = {path: c.tolist() if isinstance(c, np.ndarray) else list(c) for path, c in columns.items()}
    rows = zip(*lists.values(), strict=True)
    return [{p: v for p, v in zip(lists, row, strict=True) if v is not None} for row in rows]


def planted(events: list[Flat], kinds: list[Kind], rng: Random) -> Truth:
    """Change some events from row 3,000 on, .4 % of them, in equal shares of the kinds; tells which became what.

    The events from which a kind borrows are unspoilt. Raises ValueError if a kind has too few events to befall.
    """
    normal = [dict(event) for event in events]
    rows = np.arange(FIRST_ANOMALY, len(events))
    wanted = np.bincount(np.arange(round(SHARE * len(rows))) % len(kinds), minlength=len(kinds))
    truth: Truth = {}
    for kind, count in zip(kinds, wanted.tolist(), strict=True):
        open_to = [row for row in rows.tolist() if row not in truth and kind.where(normal[row])]
        others = [row for row in range(len(events)) if kind.other(normal[row])]
        if len(open_to) < count or not others:
            raise ValueError(f"{kind.name}: {len(open_to)} events to befall and {len(others)} to borrow from")
        for row in rng.choice(open_to, count, replace=False).tolist():
            kind.spoil(events[row], normal[int(rng.choice(others))], rng)
            truth[row] = kind.name
    return dict(sorted(truth.items()))


def planted_standstill(events: list[Flat], truth: Truth, name: str, entity: str, field: str, rng: Random) -> None:
    """Let a field of two entities stand still for some of their events; from the fifth one on this is an anomaly."""
    free = [row for row in range(FIRST_ANOMALY, len(events) // 10 * 9) if field in events[row] and row not in truth]
    length = max(round(SHARE * (len(events) - FIRST_ANOMALY) / (2 * (len(set(truth.values())) + 1))), 2)
    for start in np.sort(rng.choice(free, 2, replace=False)).tolist():
        mine = [
            row
            for row in range(start, len(events))
            if events[row][entity] == events[start][entity] and row not in truth and field in events[row]
        ]
        for repeats, row in enumerate(mine[: 4 + length]):
            events[row][field] = events[start][field]
            if repeats >= 4:
                truth[row] = name


def nested(event: Flat) -> dict[str, Any]:
    """The event as a JSON object: dotted paths become objects in objects."""
    whole: dict[str, Any] = {}
    for path, value in event.items():
        *parents, last = path.split(".")
        place = whole
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return whole
