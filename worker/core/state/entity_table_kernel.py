"""The table of entities, compiled: rows found by the bytes of a name, and kept in the order of their last records.

Each entity has one row, so that everything that a record needs of it lies together. Rows are found by open addressing:
a bucket holds the upper bits of the name's hash and the row, or -1; at most half of the buckets are in use.
"""

from __future__ import annotations

from collections import namedtuple

import numba
import numpy as np
from numba import f8, i8, u1, void

from worker.core.compiled import Ints, compiled, group_type
from worker.core.events.hash_kernel import equal_bytes

# Columns of `rows`.
BEFORE = 0  # the row of the entity that was seen last before this one, -1 for none
AFTER = 1  # the row of the entity that was seen next after this one, -1 for none
LAST_TIME = 2  # ms, the latest event time
LAST_CLOCK = 3  # ms, the partition's time at the last record
LAST_OFFSET = 4  # the last record's offset, -1 in a free row
NAME = 5  # where the name begins in `arena`
SIZE = 6  # bytes of the name, -1 for the entity of records without a name
TAG = 7  # upper bits of the name's hash
SEEN = 8  # from here on a count of values for each rate

TABLE_STATE = np.dtype(
    [
        ("head", np.int64),  # the row seen longest ago, -1 for none
        ("tail", np.int64),  # the row seen last, -1 for none
        ("used", np.int64),  # live rows
        ("free", np.int64),  # free rows
        ("unnamed", np.int64),  # the row of records without a name, -1 for none
        ("arena", np.int64),  # bytes used of `arena`
        ("evicted", np.int64),  # entities evicted in the last batch
        ("late", np.int64),  # records of the last batch that came late
        ("touched", np.int64),  # meaningless: keeps the compiler from dropping the prefetches
    ]
)
Table = namedtuple("Table", ["buckets", "rows", "sums", "arena", "free", "state"])
"""`buckets` (a power of two,), `rows` (R, SEEN + rates), `sums` (R, S), `arena` the bytes of all names, `free` (R,) a
stack of free rows, `state` (1,) of `TABLE_STATE`.
"""
Names = namedtuple("Names", ["raw", "starts", "stops", "tags"])
"""n names: the bytes of `raw` from `starts` to `stops`, (n,) each, -1 for no name; `tags` (n,) upper bits of hashes."""
TABLE = group_type(
    Table,
    buckets=i8[::1],
    rows=i8[:, ::1],
    sums=f8[:, ::1],
    arena=u1[::1],
    free=i8[::1],
    state=numba.from_dtype(TABLE_STATE)[::1],
)
NAMES = group_type(Names, raw=u1[::1], starts=i8[::1], stops=i8[::1], tags=i8[::1])
_ROW = (1 << 32) - 1
BLOCK = 256
"""Records that are prefetched together: what they need fits the nearest caches."""


@compiled(i8(NAMES, i8, TABLE), inline=True)
def find_row(names: Names, i: int, table: Table) -> int:
    """The row of name `i`, -1 for none."""
    row: int
    raw, start, size, tag = names.raw, names.starts[i], names.stops[i] - names.starts[i], names.tags[i]
    if start < 0:
        row = table.state[0].unnamed
        return row
    mask = len(table.buckets) - 1
    at = tag & mask
    while table.buckets[at] >= 0:
        if table.buckets[at] >> 32 == tag:
            row = table.buckets[at] & _ROW
            first = table.rows[row, NAME]
            if table.rows[row, SIZE] == size and equal_bytes(raw, start, table.arena, first, size):
                return row
        at = (at + 1) & mask
    return -1


@compiled("void(i8[::1], i8, i8)", inline=True)
def _enter(buckets: Ints, tag: int, row: int) -> None:
    mask = len(buckets) - 1
    at = tag & mask
    while buckets[at] >= 0:
        at = (at + 1) & mask
    buckets[at] = tag << 32 | row


@compiled("void(i8[::1], i8, i8)", inline=True)
def _leave(buckets: Ints, tag: int, row: int) -> None:
    """Clear a row's bucket; later entries of the same run move up, so that a search still reaches them."""
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


@compiled(void(TABLE, i8), inline=True)
def unlink(table: Table, row: int) -> None:
    """Take a row out of the order of last records."""
    before, after = table.rows[row, BEFORE], table.rows[row, AFTER]
    if before >= 0:
        table.rows[before, AFTER] = after
    else:
        table.state[0].head = after
    if after >= 0:
        table.rows[after, BEFORE] = before
    else:
        table.state[0].tail = before


@compiled(void(TABLE, i8), inline=True)
def append(table: Table, row: int) -> None:
    """Put a row at the end of the order of last records."""
    tail = table.state[0].tail
    table.rows[row, BEFORE] = tail
    table.rows[row, AFTER] = -1
    if tail >= 0:
        table.rows[tail, AFTER] = row
    else:
        table.state[0].head = row
    table.state[0].tail = row


@compiled(void(TABLE), inline=True)
def evict(table: Table) -> None:
    """Forget the entity seen longest ago."""
    state = table.state[0]
    row = state.head
    unlink(table, row)
    if table.rows[row, SIZE] < 0:
        state.unnamed = -1
    else:
        _leave(table.buckets, table.rows[row, TAG], row)
    table.rows[row, LAST_OFFSET] = -1
    table.free[state.free] = row
    state.free += 1
    state.used -= 1
    state.evicted += 1


@compiled(i8(NAMES, i8, TABLE), inline=True)
def admit(names: Names, i: int, table: Table) -> int:
    """A free row for name `i`, which has none; it is not yet in the order of last records."""
    state = table.state[0]
    state.free -= 1
    state.used += 1
    row: int = table.free[state.free]
    start, size, tag = names.starts[i], names.stops[i] - names.starts[i], names.tags[i]
    table.rows[row, TAG] = tag
    table.rows[row, NAME] = state.arena
    if start < 0:
        table.rows[row, SIZE] = -1
        state.unnamed = row
        return row
    table.rows[row, SIZE] = size
    for k in range(size):
        table.arena[state.arena + k] = names.raw[start + k]
    state.arena += size
    _enter(table.buckets, tag, row)
    return row


@compiled(i8(NAMES, TABLE, i8[::1]))
def find_rows(names: Names, table: Table, found: Ints) -> int:
    """Write the rows of n names to `found` (n,), -1 for none; return how many have none.

    A lookup touches three distant cache lines. We prefetch them for a whole block first, so that the misses overlap.
    """
    missing, mask = 0, len(table.buckets) - 1
    state = table.state[0]
    for first in range(0, len(names.starts), BLOCK):
        block = range(first, min(first + BLOCK, len(names.starts)))
        for i in block:
            found[i] = table.buckets[names.tags[i] & mask]
        for i in block:
            found[i] = table.rows[found[i] & _ROW, NAME] if found[i] >= 0 else 0
        state.touched = 0
        for i in block:
            state.touched += table.arena[found[i]] if found[i] < len(table.arena) else 0
        for i in block:
            found[i] = find_row(names, i, table)
            missing += found[i] < 0
    return missing


@compiled(void(i8[::1], TABLE, i8, i8), inline=True)
def prefetch(found: Ints, table: Table, first: int, last: int) -> None:
    """Load the rows that records `first` to `last` will change, so that the cache misses overlap; changes nothing."""
    rows, sums = table.rows, table.sums
    touched = 0
    for i in range(first, last):
        row = found[i]
        if row >= 0:
            # -1 (no neighbour) wraps to the last row; any row will do, this only prefetches.
            touched += rows[rows[row, BEFORE], AFTER] + rows[rows[row, AFTER], BEFORE]
            touched += sums.shape[1] > 0 and sums[row, 0] > 0.0  # without rates there are no sums
    table.state[0].touched = touched


@compiled("void(i8[::1], i8[:,::1])")
def enter_all(buckets: Ints, rows: Ints) -> None:
    """Enter every live row that has a name into `buckets`, which are empty."""
    for row in range(len(rows)):
        if rows[row, LAST_OFFSET] >= 0 and rows[row, SIZE] >= 0:
            _enter(buckets, rows[row, TAG], row)
