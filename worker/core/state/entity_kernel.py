"""The sequential part of entity statistics, compiled: one pass over a batch, record by record, without Python objects.

An entity can have several records in one batch, each of which depends on the ones before, so this cannot be
vectorised; in Python it would be by far the slowest part of the data path.
"""

from __future__ import annotations

import math
from collections import namedtuple

from numba import b1, f8, i8, void

from worker.core.compiled import Ints, compiled, group_type
from worker.core.state.entity_table_kernel import (
    BLOCK,
    LAST_CLOCK,
    LAST_OFFSET,
    LAST_TIME,
    NAMES,
    SEEN,
    TABLE,
    Names,
    Table,
    admit,
    append,
    evict,
    find_row,
    prefetch,
    unlink,
)
from worker.core.state.last_value_kernel import LAST_VALUES, PER_LAST_VALUE, VALUE, LastValues, compare_with_last

# The columns of `sums`: a decayed count for each half-life, then PER_RATE columns for each rate, then PER_LAST_VALUE
# for each feature that compares a number with its entity's last value.
WEIGHT, MEAN, M2, PER_RATE = range(4)
WARM = 8
"""How many values an entity needs before its own deviation is used, to clip values and to compare them."""
CLIP_DEVIATIONS = 5.0
FORGOTTEN = 1e-12
"""Weight of the past below which it is dropped: 40 half-lives."""
_RELATIVE_FLOOR = 1e-3
_TINY = 1e-9

Rates = namedtuple("Rates", ["half_lives", "half_life_of", "decay"])
"""`half_lives` (H,) in ms, `half_life_of` (R,) each rate's place among them; `decay` (H,) is scratch memory."""
Batch = namedtuple("Batch", ["times", "event_times", "clock", "offsets", "values", "numbers"])
"""n records in offset order: `event_times` (n,) in ms, `clock` (n,) the partition's time, `times` (n,) the earlier of
the two; `offsets` (n,), `values` (R, n) of the rates, `numbers` (L, n) to compare with last values.
"""
Before = namedtuple("Before", ["fresh", "gap", "count", "mean", "deviation", "change", "compared"])
"""What was known of its entity before each of n records: `fresh` (n,) whether the entity was unknown, `gap` (n,) in
seconds since its last record, `count` (H, n); `compared` (L, n) how its numbers compare with the last values; the
others (R, n).
"""
_RATES = group_type(Rates, half_lives=f8[::1], half_life_of=i8[::1], decay=f8[::1])
_BATCH = group_type(
    Batch,
    times=i8[::1],
    event_times=i8[::1],
    clock=i8[::1],
    offsets=i8[::1],
    values=f8[:, ::1],
    numbers=f8[:, ::1],
)
_BEFORE = group_type(
    Before,
    fresh=b1[::1],
    gap=f8[::1],
    count=f8[:, ::1],
    mean=f8[:, ::1],
    deviation=f8[:, ::1],
    change=f8[:, ::1],
    compared=f8[:, ::1],
)


@compiled(void(i8, i8, f8, f8, i8, i8, TABLE, _BEFORE), inline=True)
def _update_rate(i: int, r: int, x: float, share: float, row: int, first: int, table: Table, before: Before) -> None:
    """Fold value `x` of rate `r`, whose columns of `sums` begin at `first`, into its entity's row, with weight `share`
    (West, CACM 22(9), 1979, with weights); mean, deviation and change as known before it go to `before`.
    """
    rows, sums = table.rows, table.sums
    if sums[row, first + WEIGHT] < FORGOTTEN:
        sums[row, first + WEIGHT] = sums[row, first + MEAN] = sums[row, first + M2] = 0.0
        rows[row, SEEN + r] = 0
    seen, weight = rows[row, SEEN + r], sums[row, first + WEIGHT]
    mean, m2 = sums[row, first + MEAN], sums[row, first + M2]
    deviation = math.sqrt(m2 / weight) if seen >= 2 else math.nan
    floored = max(deviation, _RELATIVE_FLOOR * abs(mean), _TINY) if seen >= 2 else math.nan
    before.mean[r, i] = mean if seen >= 1 else math.nan
    before.deviation[r, i] = deviation
    before.change[r, i] = (x - mean) / floored if seen >= WARM else math.nan
    if math.isnan(x):
        return
    if seen >= WARM:
        most = CLIP_DEVIATIONS * floored
        x = min(max(x, mean - most), mean + most)
    weight += share
    delta = x - mean
    mean += share / weight * delta
    sums[row, first + WEIGHT] = weight
    sums[row, first + MEAN] = mean
    sums[row, first + M2] = m2 + share * delta * (x - mean)
    rows[row, SEEN + r] = seen + 1


@compiled(void(i8, i8, i8, TABLE, _RATES, _BATCH, _BEFORE), inline=True)
def _update_sums(i: int, row: int, behind: int, table: Table, rates: Rates, batch: Batch, before: Before) -> None:
    """Fold record `i`, which is `behind` ms late (negative if it is in order), into the counts and rates of its row."""
    sums, decay = table.sums, rates.decay
    for h in range(len(rates.half_lives)):
        # A late record does not age the sums; it gets the weight that it would have now had it come in time.
        decay[h] = 2.0 ** (-abs(behind) / rates.half_lives[h])
        if behind < 0:
            sums[row, h] *= decay[h]
        before.count[h, i] = sums[row, h]
        sums[row, h] += decay[h] if behind > 0 else 1.0
    for r in range(len(rates.half_life_of)):
        factor = decay[rates.half_life_of[r]]
        first = len(rates.half_lives) + PER_RATE * r
        if behind < 0:
            sums[row, first + WEIGHT] *= factor
            sums[row, first + M2] *= factor
        share = factor if behind > 0 else 1.0
        _update_rate(i, r, batch.values[r, i], share, row, first, table, before)


@compiled(void(i8, i8, i8, TABLE, LAST_VALUES, _BATCH, _BEFORE), inline=True)
def _compare(i: int, row: int, first: int, table: Table, asked: LastValues, batch: Batch, before: Before) -> None:
    """Compare record `i` with the last values in its row, whose columns of `sums` begin at `first`."""
    time, clock = batch.event_times[i], batch.clock[i]
    for feature in range(len(asked.unchanged)):
        at = first + PER_LAST_VALUE * feature
        if before.fresh[i]:
            table.sums[row, at + VALUE] = math.nan
        x = batch.numbers[feature, i]
        before.compared[feature, i] = compare_with_last(x, time, clock, row, at, feature, asked, table)


@compiled(i8(i8, i8, i8, NAMES, TABLE, _BATCH, _BEFORE), inline=True)
def _place(i: int, row: int, capacity: int, names: Names, table: Table, batch: Batch, before: Before) -> int:
    """The row of record `i`'s entity, which is `row`, or a new one if that is -1; it becomes the one seen last."""
    time = batch.times[i]
    before.fresh[i] = row < 0
    if row < 0:
        if table.state[0].used >= capacity:
            evict(table)
        row = admit(names, i, table)
        table.rows[row, LAST_TIME] = time
        table.rows[row, SEEN:] = 0
        table.sums[row, :] = 0.0
        before.gap[i] = math.nan
    else:
        unlink(table, row)
        before.gap[i] = max(time - table.rows[row, LAST_TIME], 0) / 1000.0
    append(table, row)
    return row


@compiled(void(NAMES, _BATCH, i8, i8, TABLE, _RATES, LAST_VALUES, i8[::1], _BEFORE))
def advance(
    names: Names,
    batch: Batch,
    capacity: int,
    idle_ms: int,
    table: Table,
    rates: Rates,
    asked: LastValues,
    found: Ints,
    before: Before,
) -> None:
    """Fold n records in order into the table, and write what was known before each to `before`.

    `found` (n,) holds the rows that `find_rows` found; afterwards the row of each record. The table keeps at most
    `capacity` entities, none of them idle for longer than `idle_ms`; it has free rows for all that are new.
    """
    state, rows = table.state[0], table.rows
    first = len(rates.half_lives) + PER_RATE * len(rates.half_life_of)
    state.evicted = 0
    state.late = 0
    for i in range(len(found)):
        if i % BLOCK == 0:
            prefetch(found, table, i, min(i + BLOCK, len(found)))
        while state.head >= 0 and rows[state.head, LAST_CLOCK] < batch.clock[i] - idle_ms:
            evict(table)
        row = found[i]
        if row < 0 or state.evicted > 0:  # this batch may have brought the entity, or moved it
            row = find_row(names, i, table)
        row = _place(i, row, capacity, names, table, batch, before)
        found[i] = row
        rows[row, LAST_CLOCK] = batch.clock[i]
        rows[row, LAST_OFFSET] = batch.offsets[i]
        behind = rows[row, LAST_TIME] - batch.times[i]
        if behind > 0:
            state.late += 1
        else:
            rows[row, LAST_TIME] = batch.times[i]
        _update_sums(i, row, behind, table, rates, batch, before)
        _compare(i, row, first, table, asked, batch, before)
