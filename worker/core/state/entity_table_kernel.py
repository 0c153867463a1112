"""Where an entity is, compiled: rows of a table found by the bytes of a name, in the order of their last records.

One row an entity, so that what a record needs of it lies together. Rows are found by open addressing: a bucket holds
the upper bits of the name's hash and the row, or -1; at most half of the buckets are taken.
"""

from __future__ import annotations

from typing import Any

from worker.core.compiled import compiled
from worker.core.events.hash_kernel import same

BEFORE, AFTER, LAST_TIME, LAST_CLOCK, LAST_OFFSET, NAME, SIZE, TAG, SEEN = range(9)
"""Columns of `rows`: neighbours in the order of last records, the last record's times in ms and its offset (-1: a free
row), where in `arena` the name is (size -1: the entity of records without a name), upper bits of its hash; from `SEEN`
on a count of values for each rate.
"""
HEAD, TAIL, USED, FREE, NOBODY, ARENA, EVICTED, LATE, TOUCHED = range(9)
"""Places in `meta`: rows seen longest ago and last, how many are live and how many free, the row without a name, bytes
used of the arena; of the last batch, how many entities were evicted and how many records came late; `TOUCHED` is of no
account.
"""
_ROW = (1 << 32) - 1
BLOCK = 256
"""Records whose memory is fetched together: what they need fits the nearest caches."""


@compiled("i8(u1[::1], i8, i8, i8, i8[::1], i8[:,::1], u1[::1], i8[::1])", inline=True)
def row_of(raw: Any, start: int, stop: int, tag: int, buckets: Any, rows: Any, arena: Any, meta: Any) -> Any:
    """The row of a name, -1 for none; `start` -1 is no name."""
    if start < 0:
        return meta[NOBODY]
    mask = len(buckets) - 1
    at = tag & mask
    while buckets[at] >= 0:
        if buckets[at] >> 32 == tag:
            row = buckets[at] & _ROW
            if rows[row, SIZE] == stop - start and same(raw, start, arena, rows[row, NAME], stop - start):
                return row
        at = (at + 1) & mask
    return -1


@compiled("void(i8[::1], i8, i8)", inline=True)
def _enter(buckets: Any, tag: int, row: int) -> None:
    mask = len(buckets) - 1
    at = tag & mask
    while buckets[at] >= 0:
        at = (at + 1) & mask
    buckets[at] = tag << 32 | row


@compiled("void(i8[::1], i8, i8)", inline=True)
def _leave(buckets: Any, tag: int, row: int) -> None:
    """Later entries of the same run move up, so that none is cut off from where its search begins."""
    mask = len(buckets) - 1
    hole = tag & mask
    while buckets[hole] != tag << 32 | row:
        hole = (hole + 1) & mask
    at = (hole + 1) & mask
    while buckets[at] >= 0:
        if (at - (buckets[at] >> 32)) & mask >= (at - hole) & mask:
            buckets[hole] = buckets[at]
            hole = at
        at = (at + 1) & mask
    buckets[hole] = -1


@compiled("void(i8[:,::1], i8[::1], i8)", inline=True)
def unlink(rows: Any, meta: Any, row: int) -> None:
    """Out of the order of last records."""
    before, after = rows[row, BEFORE], rows[row, AFTER]
    if before >= 0:
        rows[before, AFTER] = after
    else:
        meta[HEAD] = after
    if after >= 0:
        rows[after, BEFORE] = before
    else:
        meta[TAIL] = before


@compiled("void(i8[:,::1], i8[::1], i8)", inline=True)
def append(rows: Any, meta: Any, row: int) -> None:
    """To the end of the order of last records."""
    rows[row, BEFORE] = meta[TAIL]
    rows[row, AFTER] = -1
    if meta[TAIL] >= 0:
        rows[meta[TAIL], AFTER] = row
    else:
        meta[HEAD] = row
    meta[TAIL] = row


@compiled("void(i8[::1], i8[:,::1], i8[::1], i8[::1])", inline=True)
def evict(buckets: Any, rows: Any, free: Any, meta: Any) -> None:
    """Forget the entity seen longest ago."""
    row = meta[HEAD]
    unlink(rows, meta, row)
    if rows[row, SIZE] < 0:
        meta[NOBODY] = -1
    else:
        _leave(buckets, rows[row, TAG], row)
    rows[row, LAST_OFFSET] = -1
    free[meta[FREE]] = row
    meta[FREE] += 1
    meta[USED] -= 1
    meta[EVICTED] += 1


@compiled("i8(u1[::1], i8, i8, i8, i8[::1], i8[:,::1], u1[::1], i8[::1], i8[::1])", inline=True)
def admit(raw: Any, start: int, stop: int, tag: int, buckets: Any, rows: Any, arena: Any, free: Any, meta: Any) -> Any:
    """A free row for a name that has none; not yet in the order of last records."""
    meta[FREE] -= 1
    meta[USED] += 1
    row = free[meta[FREE]]
    rows[row, TAG] = tag
    rows[row, NAME] = meta[ARENA]
    if start < 0:
        rows[row, SIZE] = -1
        meta[NOBODY] = row
        return row
    rows[row, SIZE] = stop - start
    for k in range(stop - start):
        arena[meta[ARENA] + k] = raw[start + k]
    meta[ARENA] += stop - start
    _enter(buckets, tag, row)
    return row


@compiled("i8(u1[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[:,::1], u1[::1], i8[::1], i8[::1])")
def find(raw: Any, starts: Any, stops: Any, tags: Any, buckets: Any, rows: Any, arena: Any, meta: Any,
         found: Any) -> Any:  # fmt: skip
    """The rows of n names, from `starts` to `stops` of `raw`, to `found` (n,), -1 for none; returns how many have none.

    Each is found through three places far apart. A block's names are led to each of them together first, so that they
    wait for memory side by side and not in turn.
    """
    missing, mask = 0, len(buckets) - 1
    for first in range(0, len(starts), BLOCK):
        block = range(first, min(first + BLOCK, len(starts)))
        for i in block:
            found[i] = buckets[tags[i] & mask]
        for i in block:
            found[i] = rows[found[i] & _ROW, NAME] if found[i] >= 0 else 0
        meta[TOUCHED] = 0
        for i in block:
            meta[TOUCHED] += arena[found[i]] if found[i] < len(arena) else 0
        for i in block:
            found[i] = row_of(raw, starts[i], stops[i], tags[i], buckets, rows, arena, meta)
            missing += found[i] < 0
    return missing


@compiled("void(i8[::1], i8[:,::1], f8[:,::1], i8[::1], i8, i8)", inline=True)
def touch(found: Any, rows: Any, sums: Any, meta: Any, first: int, last: int) -> None:
    """Bring what records `first` to `last` will change near, all at once; it changes nothing."""
    touched = 0
    for i in range(first, last):
        row = found[i]
        if row >= 0:  # -1 for no neighbour is the last row, as good as any
            touched += rows[rows[row, BEFORE], AFTER] + rows[rows[row, AFTER], BEFORE]
            touched += sums.shape[1] > 0 and sums[row, 0] > 0.0  # no sums where only windows look back
    meta[TOUCHED] = touched


@compiled("void(i8[::1], i8[:,::1])")
def enter_all(buckets: Any, rows: Any) -> None:
    """Enter every live row that has a name, into buckets that are empty."""
    for row in range(len(rows)):
        if rows[row, LAST_OFFSET] >= 0 and rows[row, SIZE] >= 0:
            _enter(buckets, rows[row, TAG], row)
