"""Which snapshots are kept."""

from __future__ import annotations

from itertools import pairwise

from worker.core.events.event_time import HOUR_MS
from worker.core.state.retention import DAY_MS, LAST, retain
from worker.core.state.snapshot import Ancestor

NOW = 1_800_000_000_000


def test_retention_keeps_the_last_the_hourly_and_the_daily() -> None:
    noon = NOW - NOW % DAY_MS
    ages = [0, 10, 20, 30, 5 * HOUR_MS - 5, 5 * HOUR_MS, 3 * DAY_MS - 5, 3 * DAY_MS, 8 * DAY_MS]
    line = [Ancestor(str(age), 100 - i, noon - age) for i, age in enumerate(ages)]
    kept = [one.created_ms for one in retain(line, noon, low=0)]
    # Of 30 ms ago and 20 the older is the first of its hour; a week ago is too long.
    assert [noon - created for created in kept] == [0, 10, 20, 30, 5 * HOUR_MS, 3 * DAY_MS]
    assert [one.offset for one in retain(line, noon, low=95)] == [100, 99, 98, 97, 95]


def test_the_last_three_are_kept_however_old_and_whatever_the_log_has() -> None:
    line = [Ancestor(str(i), 100 - i, NOW - (30 + i) * DAY_MS) for i in range(10)]
    assert retain(line, NOW, low=2**62) == line[:LAST]
    assert retain(line[:2], NOW, low=0) == line[:2]
    assert retain([], NOW, low=0) == []


def test_one_an_hour_of_a_day_and_one_a_day_of_a_week_are_kept_of_a_stream_of_snapshots() -> None:
    line = [Ancestor(str(i), 10**6 - i, NOW - i * 60_000) for i in range(10 * 24 * 60)]
    kept = retain(line, NOW, low=0)
    assert len(kept) <= LAST + 25 + 8
    assert kept == sorted(kept, key=lambda ancestor: ancestor.offset, reverse=True)
    ages = [NOW - ancestor.created_ms for ancestor in kept]
    assert max(ages) < 7 * DAY_MS
    assert max(later - earlier for earlier, later in pairwise(ages) if later < DAY_MS) <= HOUR_MS
    assert max(later - earlier for earlier, later in pairwise(ages)) <= DAY_MS
