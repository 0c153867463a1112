"""Which of a snapshot's ancestors are kept. Pure, so that every owner decides alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from worker.core.events.event_time import HOUR_MS

LAST = 3
DAY_MS, WEEK_MS = 86_400_000, 604_800_000


class Dated(Protocol):
    @property
    def offset(self) -> int: ...
    @property
    def created_ms(self) -> int: ...


D = TypeVar("D", bound=Dated)


def retain(snapshots: Sequence[D], now_ms: int, low: int) -> list[D]:
    """The snapshots to keep, of a sequence from new to old.

    Kept are the last three, and, if the log (which begins at offset `low`) still reaches their offset, the first of
    each hour of the last day and the first of each day of the last week.
    """
    kept = set(range(min(LAST, len(snapshots))))
    for width, span in ((HOUR_MS, DAY_MS), (DAY_MS, WEEK_MS)):
        firsts = {}  # by slot: later assignments are older snapshots
        for i, one in enumerate(snapshots):
            if one.offset >= low and now_ms - one.created_ms < span:
                firsts[one.created_ms // width] = i
        kept |= set(firsts.values())
    return [one for i, one in enumerate(snapshots) if i in kept]
