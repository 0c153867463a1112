"""How a value compares with its entity's last one, compiled: its difference, and for how long it has been the same.

Each feature has three numbers of its entity: the last value, nan if there was none, and its event time; for a delta the
difference for which no time has passed yet, for `unchanged` the event time since which the value has been the same.

A value that is older than the last one came late: it has no result and is not remembered. If the partition's clock has
not reached the last value's time, that time is doubted instead, and the entity begins anew with this record. So an
event that claims to be from the future blinds its entity for at most an hour of event time, or, if it lies so far ahead
that the clock did not follow, for one record. Event times are taken as events have them, not cut to the clock, so that
after a pause of hours a difference is divided by all of them.
"""

from __future__ import annotations

import math
from collections import namedtuple

from numba import b1, f8, i8

from worker.core.compiled import compiled, group_type
from worker.core.state.entity_table_kernel import TABLE, Table

# The columns of `sums` for each feature, after those of the rates. `PENDING` is of a delta, `SINCE` of `unchanged`.
VALUE, TIME, PENDING, PER_LAST_VALUE = range(4)
SINCE = PENDING
LARGEST = 1e100
"""No difference is larger than this, not even that of an infinite value."""

LastValues = namedtuple("LastValues", ["unchanged", "counter", "per_second"])
"""(L,) bool each: what is asked of each feature's values. `counter` and `per_second` are of deltas."""
LAST_VALUES = group_type(LastValues, unchanged=b1[::1], counter=b1[::1], per_second=b1[::1])


@compiled(f8(f8, i8, i8, i8, b1, b1, TABLE), inline=True)
def _difference(x: float, time: int, row: int, at: int, counter: bool, per_second: bool, table: Table) -> float:
    """The difference of `x` from the last value, per event or per second, nan if no second can be counted yet.

    A counter that falls was reset and has counted from 0 since: Prometheus' rule for `increase`. An infinite value has
    a difference, but is not remembered.
    """
    sums = table.sums
    before, seconds = sums[row, at + VALUE], (time - sums[row, at + TIME]) / 1000.0
    difference = x if counter and x < before else x - before
    difference = min(max(difference, -LARGEST), LARGEST)
    if per_second:
        difference += sums[row, at + PENDING]
    if math.isfinite(x):
        sums[row, at + VALUE] = x
        sums[row, at + TIME] = time
        sums[row, at + PENDING] = difference if per_second and seconds == 0.0 else 0.0
    if not per_second:
        return difference
    return min(max(difference / seconds, -LARGEST), LARGEST) if seconds > 0.0 else math.nan


@compiled(f8(f8, i8, i8, i8, TABLE), inline=True)
def _unchanged_for(x: float, time: int, row: int, at: int, table: Table) -> float:
    """The seconds since the entity's value became `x`."""
    sums = table.sums
    if x != sums[row, at + VALUE]:
        sums[row, at + VALUE] = x
        sums[row, at + SINCE] = time
    sums[row, at + TIME] = time
    seconds: float = (time - sums[row, at + SINCE]) / 1000.0
    return seconds


@compiled(f8(f8, i8, i8, i8, i8, i8, LAST_VALUES, TABLE), inline=True)
def compare_with_last(
    x: float, time: int, clock: int, row: int, at: int, feature: int, asked: LastValues, table: Table
) -> float:
    """Compare value `x` of one record with its entity's last one, and remember it. Returns nan if there is no result.

    `time` is the record's event time and `clock` the partition's, in ms. The feature's columns of `sums` begin at `at`.
    """
    if math.isnan(x):
        return math.nan
    sums, unchanged = table.sums, asked.unchanged[feature]
    late = time < sums[row, at + TIME]
    if math.isnan(sums[row, at + VALUE]) or (late and sums[row, at + TIME] > clock):
        if unchanged or math.isfinite(x):
            sums[row, at + VALUE] = x
            sums[row, at + TIME] = time
            sums[row, at + PENDING] = time if unchanged else 0.0
        return math.nan
    if late:
        return math.nan
    result: float = (
        _unchanged_for(x, time, row, at, table)
        if unchanged
        else _difference(x, time, row, at, asked.counter[feature], asked.per_second[feature], table)
    )
    return result
