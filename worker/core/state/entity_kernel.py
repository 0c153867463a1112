"""The sequential part of entity statistics, compiled: one pass over a batch, record by record, without Python objects.

An entity's records follow one another inside a batch too, so this cannot be vectorised; in Python it would be the
slowest part of the data path by far.
"""

from __future__ import annotations

import math
from typing import Any

from worker.core.compiled import compiled
from worker.core.state.entity_table_kernel import (
    BLOCK,
    EVICTED,
    HEAD,
    LAST_CLOCK,
    LAST_OFFSET,
    LAST_TIME,
    LATE,
    SEEN,
    USED,
    admit,
    append,
    evict,
    row_of,
    touch,
    unlink,
)

WEIGHT, MEAN, M2, PER_RATE = range(4)
"""Columns of `sums` for a rate, behind one count for each half-life; `PER_RATE` of them."""
WARM = 8
"""Values of an entity before its own deviation is trusted: to clip with, and to compare with."""
CLIP_DEVIATIONS = 5.0
FORGOTTEN = 1e-12
"""Weight of the past below which it is dropped: 40 half-lives."""
_RELATIVE_FLOOR = 1e-3
_TINY = 1e-9


@compiled("UniTuple(f8, 3)(i8[:,::1], f8[:,::1], i8, i8, i8, f8, f8)", inline=True)
def _learn(rows: Any, sums: Any, row: int, r: int, first: int, x: float, share: float) -> Any:
    """One value of rate `r`, whose columns begin with the `first`: mean, deviation and change as known before it, then
    the update (West, CACM 22(9), 1979, with weights).
    """
    if sums[row, first + WEIGHT] < FORGOTTEN:
        sums[row, first + WEIGHT] = sums[row, first + MEAN] = sums[row, first + M2] = 0.0
        rows[row, SEEN + r] = 0
    seen, weight, mean, m2 = rows[row, SEEN + r], sums[row, first], sums[row, first + MEAN], sums[row, first + M2]
    deviation = math.sqrt(m2 / weight) if seen >= 2 else math.nan
    floored = max(deviation, _RELATIVE_FLOOR * abs(mean), _TINY) if seen >= 2 else math.nan
    known = (mean if seen >= 1 else math.nan, deviation, (x - mean) / floored if seen >= WARM else math.nan)
    if math.isnan(x):
        return known
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
    return known


@compiled(
    "void(u1[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], f8[:,::1], f8[::1], i8[::1], i8, i8,"
    "i8[::1], i8[:,::1], f8[:,::1], u1[::1], i8[::1], i8[::1],"
    "f8[::1], b1[::1], i8[::1], f8[::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1])"
)
def advance(
    raw: Any, starts: Any, stops: Any, tags: Any, times: Any, clock: Any, offsets: Any, values: Any, half_lives: Any,
    half_life_of: Any, capacity: int, idle_ms: int,
    buckets: Any, rows: Any, sums: Any, arena: Any, free: Any, meta: Any,
    decay: Any, fresh: Any, found: Any, gap: Any, counts: Any, means: Any, deviations: Any, changes: Any,
) -> None:  # fmt: skip
    """Fold n records in order into the table; what was known before each goes to the last arrays.

    `raw`, `starts`, `stops`, `tags`, `found` as `find` has them; `found` gets the row of each record, `fresh` (n,)
    whether the entity was not known, `gap` (n,) seconds, `counts` (half-lives, n), the others and `values` (rates, n).
    `half_life_of` (rates,) are places in `half_lives`, which are in ms; `decay` (half-lives,) is for its
    own use. The table has rows for what is missing.
    """
    meta[EVICTED] = 0
    meta[LATE] = 0
    n_half_lives = len(half_lives)
    for i in range(len(found)):
        if i % BLOCK == 0:
            touch(found, rows, sums, meta, i, min(i + BLOCK, len(found)))
        while meta[HEAD] >= 0 and rows[meta[HEAD], LAST_CLOCK] < clock[i] - idle_ms:
            evict(buckets, rows, free, meta)
        row = found[i]
        if row < 0 or meta[EVICTED] > 0:  # this batch may have brought it, or moved it
            row = row_of(raw, starts[i], stops[i], tags[i], buckets, rows, arena, meta)
        fresh[i] = row < 0
        if row < 0:
            if meta[USED] >= capacity:
                evict(buckets, rows, free, meta)
            row = admit(raw, starts[i], stops[i], tags[i], buckets, rows, arena, free, meta)
            rows[row, LAST_TIME] = times[i]
            rows[row, SEEN:] = 0
            sums[row, :] = 0.0
            gap[i] = math.nan
        else:
            unlink(rows, meta, row)
            gap[i] = max(times[i] - rows[row, LAST_TIME], 0) / 1000.0
        append(rows, meta, row)
        found[i] = row
        rows[row, LAST_CLOCK] = clock[i]
        rows[row, LAST_OFFSET] = offsets[i]
        behind = rows[row, LAST_TIME] - times[i]
        if behind > 0:
            meta[LATE] += 1
        else:
            rows[row, LAST_TIME] = times[i]
        for h in range(n_half_lives):
            # A late record changes nothing about now; it weighs what it would weigh had it come in time.
            decay[h] = 2.0 ** (-abs(behind) / half_lives[h])
            if behind < 0:
                sums[row, h] *= decay[h]
            counts[h, i] = sums[row, h]
            sums[row, h] += decay[h] if behind > 0 else 1.0
        for r in range(len(half_life_of)):
            factor = decay[half_life_of[r]]
            first = n_half_lives + PER_RATE * r
            if behind < 0:
                sums[row, first + WEIGHT] *= factor
                sums[row, first + M2] *= factor
            share = factor if behind > 0 else 1.0
            known = _learn(rows, sums, row, r, first, values[r, i], share)
            means[r, i], deviations[r, i], changes[r, i] = known
