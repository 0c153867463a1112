"""Which of the snapshots that one grew from are kept: pure, so that every owner decides alike."""

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


def retained(line: Sequence[D], now_ms: int, low: int) -> list[D]:
    """Of a line, newest first: the last three, and while the log still reaches their offset (from `low` on) the first
    of each hour of the last day and of each day of the last week.
    """
    kept = set(range(min(LAST, len(line))))
    for width, span in ((HOUR_MS, DAY_MS), (DAY_MS, WEEK_MS)):
        firsts = {}  # by slot, the oldest in it: the line goes from new to old
        for i, one in enumerate(line):
            if one.offset >= low and now_ms - one.created_ms < span:
                firsts[one.created_ms // width] = i
        kept |= set(firsts.values())
    return [one for i, one in enumerate(line) if i in kept]
