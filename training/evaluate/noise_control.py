"""Which flagged rows the worker would have published as alerts, by its own code for incidents and cooldowns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.core.events.entity_names import entity_of
from worker.core.events.event_time import EventTimes, event_times
from worker.core.state.incidents import Evidence, Flagged, Incidents

_ANY = Evidence(1.0, 0.0, 0.0, 1, 0, "", backfill=False)
"""The evidence takes no part in what is published."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The entity of each of n rows, None if it has none, and their event times with the clock after each row."""

    entities: Sequence[str | None]
    times: EventTimes

    @staticmethod
    def of(entities: Sequence[str | None], times: npt.NDArray[np.int64]) -> Arrivals:
        """The entities as alerts name them, and `times` (n,) int64 in ms as one partition of the worker takes them."""
        no_timestamps = np.full(len(times), -1, np.int64)
        return Arrivals(
            [entity_of(entity, None) for entity in entities],
            event_times(times.astype(np.float64), no_timestamps, None),
        )

    def take(self, rows: slice) -> Arrivals:
        times = self.times
        return Arrivals(self.entities[rows], EventTimes(times.times[rows], times.clock[rows], times.future))


def published(flagged: npt.NDArray[np.bool_], arrivals: Arrivals, cooldown_ms: int) -> npt.NDArray[np.bool_]:
    """(n,) bool: the flagged rows that open an incident or update one; the cooldown holds the others back.

    `flagged` (n,) bool. All rows belong to one partition that had no incident before them.
    """
    incidents, alerted = Incidents(cooldown_ms), np.zeros(len(flagged), np.bool_)
    rows = np.flatnonzero(flagged)
    times, clock = arrivals.times.times[rows].tolist(), arrivals.times.clock[rows].tolist()
    for row, time_ms, clock_ms in zip(rows.tolist(), times, clock, strict=True):
        incidents.advance(clock_ms)
        record = Flagged(arrivals.entities[row], row, -1, time_ms, clock_ms, _ANY)
        alerted[row] = incidents.flag(record).publish
    return alerted
