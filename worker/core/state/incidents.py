"""Open incidents and cooldowns of one partition, in event time.

They are a pure fold over the flagged records in offset order and the partition's clock: no wall clock enters, and the
result does not depend on the batches. Advance the clock to a record before folding the record itself.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec

CAPACITY = 100_000
QUIET_MS = 900_000
"""An incident closes after this much event time without a flagged record of its entity, or after the cooldown if that
is longer.
"""


class Evidence(NamedTuple):
    """Why a record was flagged: its p-value and error, the threshold, the calibration's size, and the bundle.

    `backfill` says that the record is older than the bundle. `best_p` is the best estimate of the p-value; None in the
    state of an earlier release.
    """

    p_value: float
    error: float
    threshold: float
    calibration_n: int
    version: int
    kind: str
    backfill: bool
    best_p: float | None = None


@dataclass(frozen=True, slots=True)
class Flagged:
    """A flagged record. Its `entity` is None if it has neither entity nor key; all such records are one entity.

    Times are in ms since 1970: `timestamp_ms` is the record's (-1 for none), `time_ms` the event's, and `clock_ms` the
    partition's clock after the record.
    """

    entity: str | None
    offset: int
    timestamp_ms: int
    time_ms: int
    clock_ms: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """How a flagged record changed its entity's incident: it opened or updated it.

    If `publish` is False, the cooldown holds the alert back. `flagged` counts the incident's flagged records so far.
    `evicted` says that another entity's incident was dropped to make room.
    """

    record: Flagged
    publish: bool
    status: Literal["open", "update"]
    opened_offset: int
    opened_ms: int
    expires_ms: int
    flagged: int
    evicted: bool


@dataclass(slots=True)
class Incident:
    """An open incident: `opened_*` of its first record, `last_offset` of its last one, `peak` of its worst one, and
    `alerted_ms`, the event time of the last alert.
    """

    opened_offset: int
    opened_timestamp_ms: int
    opened_ms: int
    alerted_ms: int
    expires_ms: int
    flagged: int
    last_offset: int
    peak: Evidence


class Closed(NamedTuple):
    """An incident that ended at event time `incident.expires_ms`, whichever record moved the clock."""

    entity: str | None
    incident: Incident


Change = IncidentChange | Closed


class _Due(NamedTuple):
    """When an incident may have to be closed; its expiry may have moved on since."""

    expires_ms: int
    has_entity: bool
    entity: str


class Incidents:
    """The open incidents of a partition, at most `capacity`. Beyond that, the one flagged longest ago (in log order) is
    dropped without being closed; readers of its alert have `expires_at`.
    """

    def __init__(self, cooldown_ms: int, capacity: int = CAPACITY) -> None:
        self._cooldown_ms = cooldown_ms
        self._quiet_ms = max(cooldown_ms, QUIET_MS)
        self._capacity = capacity
        self._open: OrderedDict[str | None, Incident] = OrderedDict()  # in the order of their last flagged records
        self._due: list[_Due] = []

    def __len__(self) -> int:
        return len(self._open)

    def advance(self, clock_ms: int) -> list[Closed]:
        """Close the incidents that the clock has reached, in order of expiry, ties by entity. O(1) if none is due."""
        closed: list[Closed] = []
        while self._due and self._due[0].expires_ms <= clock_ms:
            due = heapq.heappop(self._due)
            entity = due.entity if due.has_entity else None
            incident = self._open.get(entity)
            if incident is None:
                continue  # evicted since
            if incident.expires_ms > due.expires_ms:
                self._watch(entity, incident)
                continue
            del self._open[entity]
            closed.append(Closed(entity, incident))
        return closed

    def flag(self, record: Flagged) -> IncidentChange:
        """Fold one flagged record.

        It opens an incident, or belongs to the open incident of its entity. In that case its alert is held back until
        the cooldown since the last alert has passed in event time, and published as an update from then on. Held back
        or not, the record keeps the incident open.
        """
        # A late record counts from the clock, and one ahead of the bounded clock from its own time: neither
        # closes its incident at once.
        expires_ms = max(record.time_ms, record.clock_ms) + self._quiet_ms
        incident = self._open.get(record.entity)
        if incident is None:
            return self._opened(record, expires_ms)
        self._open.move_to_end(record.entity)
        incident.flagged += 1
        incident.last_offset = record.offset
        incident.expires_ms = max(incident.expires_ms, expires_ms)
        if _worse(record.evidence, incident.peak):
            incident.peak = record.evidence
        publish = record.time_ms >= incident.alerted_ms + self._cooldown_ms
        if publish:
            incident.alerted_ms = record.time_ms
        return _change(record, incident, "update", publish=publish)

    def _opened(self, record: Flagged, expires_ms: int) -> IncidentChange:
        incident = Incident(
            opened_offset=record.offset,
            opened_timestamp_ms=record.timestamp_ms,
            opened_ms=record.time_ms,
            alerted_ms=record.time_ms,
            expires_ms=expires_ms,
            flagged=1,
            last_offset=record.offset,
            peak=record.evidence,
        )
        self._open[record.entity] = incident
        evicted = len(self._open) > self._capacity
        if evicted:
            self._open.popitem(last=False)
        self._watch(record.entity, incident)
        if len(self._due) > 2 * self._capacity:  # most of them belong to evicted incidents
            self._rebuild_due()
        return _change(record, incident, "open", publish=True, evicted=evicted)

    def _watch(self, entity: str | None, incident: Incident) -> None:
        heapq.heappush(self._due, _due(entity, incident))

    def _rebuild_due(self) -> None:
        self._due = [_due(entity, incident) for entity, incident in self._open.items()]
        heapq.heapify(self._due)

    # The table behind snapshots. An incident is a row that its last record changed. It is gone if the clock has passed
    # its expiry, or if its last record is older than `oldest`; so no list of deletions is needed.

    @property
    def oldest(self) -> int:
        """The last record's offset of the incident flagged longest ago; rows with an older one are gone."""
        return next(iter(self._open.values())).last_offset if self._open else 0

    def changed(self, since: int) -> int:
        """The number of open incidents with a flagged record from offset `since` on."""
        return len(self._since(since))

    def capture(self, since: int) -> list[Callable[[], bytes]]:
        """Copy those incidents, in the order of their last records; they are encoded later, in any thread."""
        rows = [[entity, _PLAIN(incident), incident.peak] for entity, incident in self._since(since)]
        return [lambda: msgspec.msgpack.encode(rows)] if rows else []

    def _since(self, since: int) -> list[tuple[str | None, Incident]]:
        newest = takewhile(lambda item: item[1].last_offset >= since, reversed(self._open.items()))
        return list(newest)[::-1]

    def load(self, segments: Sequence[bytes], oldest: int, clock_ms: int | None) -> None:
        """Restore the incidents from captured segments, older first. Raises ValueError if one is damaged.

        Expiries stay as they were published.
        """
        found: dict[str | None, Incident] = {}
        for raw in segments:
            try:
                rows = msgspec.msgpack.decode(raw, type=list[_Row])
                found |= {entity: Incident(*plain, _evidence(peak)) for entity, plain, peak in rows}
            except msgspec.MsgspecError as error:
                raise ValueError(f"not incidents: {error}") from error
        alive = [
            (entity, incident)
            for entity, incident in found.items()
            if incident.last_offset >= oldest and not (clock_ms is not None and incident.expires_ms <= clock_ms)
        ]
        self._open = OrderedDict(sorted(alive, key=lambda item: item[1].last_offset))
        self._rebuild_due()


_COLUMNS = (
    "opened_offset",
    "opened_timestamp_ms",
    "opened_ms",
    "alerted_ms",
    "expires_ms",
    "flagged",
    "last_offset",
)
_PLAIN = attrgetter(*_COLUMNS)
_Peak = tuple[float, float, float, int, int, str, bool, float | None]
_OLD_LENGTH = 7
_Row = tuple[str | None, tuple[int, int, int, int, int, int, int], list[Any]]


def _evidence(peak: list[Any]) -> Evidence:
    """From its captured form; that of an earlier release has no `best_p`. Raises msgspec.ValidationError."""
    return Evidence(*msgspec.convert(peak if len(peak) > _OLD_LENGTH else [*peak, None], _Peak))


def _worse(evidence: Evidence, than: Evidence) -> bool:
    """By p-value, then by error, since many p-values are equal to the floor; the earlier record if both are equal."""
    return (-evidence.p_value, evidence.error) > (-than.p_value, than.error)


def _due(entity: str | None, incident: Incident) -> _Due:
    return _Due(incident.expires_ms, entity is not None, entity or "")


def _change(
    record: Flagged, incident: Incident, status: Literal["open", "update"], *, publish: bool, evicted: bool = False
) -> IncidentChange:
    return IncidentChange(
        record=record,
        publish=publish,
        status=status,
        opened_offset=incident.opened_offset,
        opened_ms=incident.opened_ms,
        expires_ms=incident.expires_ms,
        flagged=incident.flagged,
        evicted=evicted,
    )
