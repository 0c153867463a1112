"""Which rows of a state's tables a snapshot must hold anew, so that its cost follows what changed.

A table's rows carry the offset of the record that changed them last. A snapshot holds a table as segments, each the
rows that changed from one offset to the next segment's; a row that changed again is in a later segment too, and the
later one counts. A segment that is not twice as large as what comes after it is merged with it (the logarithmic method
of Bentley and Saxe, J. Algorithms 1, 1980): a row is written again O(log n) times, and all segments together hold at
most a few times the rows that are alive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

RATIO = 2


class Table(Protocol):
    """Rows by the offset of their last change."""

    def changed(self, since: int) -> int:
        """How many rows changed at or after this offset."""

    def capture(self, since: int) -> list[Callable[[], bytes]]:
        """Those rows: copied now, each part encoded by a call later, in any thread."""


class Segment(Protocol):
    """A part of a table as an earlier snapshot has it; parts of one segment begin at the same offset."""

    @property
    def since(self) -> int: ...
    @property
    def rows(self) -> int: ...


S = TypeVar("S", bound=Segment)


@dataclass(frozen=True, slots=True)
class Fresh:
    """`rows` rows that changed since offset `since`, to be encoded by `parts`."""

    since: int
    rows: int
    parts: list[Callable[[], bytes]]


def plan(table: Table, kept: Sequence[S], until: int) -> tuple[list[S], Fresh | None]:
    """What of an earlier snapshot's segments is shared, and what is written.

    `kept` are its parts, older first, and `until` the offset that it was taken at.
    """
    shared, since = list(kept), until if kept else 0
    rows = table.changed(since)
    while shared and rows:
        start = shared[-1].since
        if sum(part.rows for part in shared if part.since == start) >= RATIO * rows:
            break
        shared = [part for part in shared if part.since != start]
        since = start if shared else 0
        rows = table.changed(since)
    return shared, Fresh(since, rows, table.capture(since)) if rows else None
