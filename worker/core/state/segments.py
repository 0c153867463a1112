"""Which rows of a state table a snapshot must write anew, so that its cost follows the number of changed rows.

Each row of a table carries the offset of the record that changed it last. A snapshot holds a table as segments; a
segment holds the rows that changed from its offset to the next segment's. A row that changed again is also in a later
segment, and the later one counts. A segment that is less than twice as large as the rows after it is merged with them
(the logarithmic method of Bentley and Saxe, J. Algorithms 1, 1980): a row is written O(log n) times, and all segments
together hold at most a few times the number of live rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

RATIO = 2


class Table(Protocol):
    """Rows ordered by the offset of their last change."""

    def changed(self, since: int) -> int:
        """The number of rows that changed at or after this offset."""

    def capture(self, since: int) -> list[Callable[[], bytes]]:
        """Copy those rows now; each of the returned functions encodes a piece of them later, in any thread."""


class Segment(Protocol):
    """A chunk of a table in an earlier snapshot. Chunks of one segment have the same `since`."""

    @property
    def since(self) -> int: ...
    @property
    def rows(self) -> int: ...


S = TypeVar("S", bound=Segment)


@dataclass(frozen=True, slots=True)
class NewSegment:
    """`rows` rows that changed since offset `since`, to be encoded by `encoders`."""

    since: int
    rows: int
    encoders: list[Callable[[], bytes]]


def plan_segments(table: Table, kept: Sequence[S], until: int) -> tuple[list[S], NewSegment | None]:
    """The chunks of an earlier snapshot that a new one shares, and the segment that it writes.

    `kept` are the earlier snapshot's chunks of this table, older first; `until` is the offset of that snapshot.
    """
    shared, since = list(kept), until if kept else 0
    rows = table.changed(since)
    while shared and rows:
        start = shared[-1].since
        if sum(chunk.rows for chunk in shared if chunk.since == start) >= RATIO * rows:
            break
        shared = [chunk for chunk in shared if chunk.since != start]
        since = start if shared else 0
        rows = table.changed(since)
    return shared, NewSegment(since, rows, table.capture(since)) if rows else None
