"""What the surprises of a row take, compiled: the cells of the tables of combinations and the largest surprise among
them, the furthest number, and the error that is as rare as a surprise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from worker.core.compiled import Flags, Floats, Floats32, Ints, compiled

# Columns of the table of served tables, (T, 4) int64.
LEFT = 0  # the feature that gives the row
RIGHT = 1  # the feature that gives the column, -1 for none
FIRST = 2  # the first cell
SIDE = 3  # how many columns
# What a feature is, for `largest`.
NUMBER, LEVEL, ARC = 0, 1, 2


@compiled("i8(f4, f4[::1])", inline=True)
def _bin_of(value: float, edges: Floats32) -> int:
    """How many of the `edges` (E,), in order, are at most the value."""
    low: Any = 0
    high: Any = len(edges)
    while low < high:
        middle = (low + high) // 2
        if edges[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return int(low)


@compiled("void(f4[:,::1], b1[:,::1], i8[::1], i8[::1], f4[:,::1], i8[:,::1])")
def bin_numbers(x: Floats32, missing: Flags, features: Ints, starts: Ints, edges: Floats32, found: Ints) -> None:
    """The bin of each of K numbers of n rows: that of number k, in column `starts[k]` of `x` (n, inputs), goes to
    column `features[k]` of `found` (n, F). It is the number of its `edges[k]` (K, E), in order, that are at most the
    value, and E + 1 where the value is `missing` (n, F).
    """
    count = edges.shape[1]
    for row in range(len(x)):
        for k in range(len(features)):
            absent = missing[row, features[k]]
            found[row, features[k]] = count + 1 if absent else _bin_of(x[row, starts[k]], edges[k])


@compiled(
    "void(f4[:,::1], b1[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], f4[:,::1], i8[:,::1], f4[::1], i8[::1], f4[::1])"
)
def largest(
    x: Floats32,
    missing: Flags,
    codes: Ints,
    arcs: Ints,
    used: Ints,
    edges: Floats32,
    tables: Ints,
    surprise: Floats32,
    cells: Ints,
    found: Floats32,
) -> None:
    """The largest `surprise` of n rows over T `tables` (T, 4) to `found` (n,), from 0.

    `used` (U, 3) are the features in these tables, what they are, and where they stand: a number's row of `edges` (K,
    E), whose last column is its column of `x`; a level's column of `codes` (n, C); a time's of `arcs` (n, A). `cells`
    (F,) is scratch memory: a row's cells are looked up several times, and those of all rows would not fit the cache.
    """
    bins = edges.shape[1] - 1
    for row in range(len(found)):
        for u in range(len(used)):
            feature, place = used[u, 0], used[u, 2]
            if used[u, 1] == LEVEL:
                cells[feature] = codes[row, place]
            elif used[u, 1] == ARC:
                cells[feature] = arcs[row, place]
            elif missing[row, feature]:
                cells[feature] = bins + 1
            else:
                cells[feature] = _bin_of(x[row, np.int64(edges[place, bins])], edges[place, :bins])
        most = np.float32(0.0)
        for t in range(len(tables)):
            cell = tables[t, FIRST] + cells[tables[t, LEFT]] * tables[t, SIDE]
            if tables[t, RIGHT] >= 0:
                cell += cells[tables[t, RIGHT]]
            most = max(most, surprise[cell])
        found[row] = most


@compiled("void(f4[:,::1], b1[:,::1], i8[::1], i8[::1], f4[:,::1], f4, f4, f4[::1])")
def furthest(
    x: Floats32,
    missing: Flags,
    features: Ints,
    starts: Ints,
    tails: Floats32,
    at_start: float,
    most: float,
    found: Floats32,
) -> None:
    """The largest surprise over K numbers of n rows to `found` (n,), from 0.

    `tails` (K, 4) are where the lower tail starts and one over its units per nat, and the same of the upper tail. A
    number is `at_start` nats surprising where a tail starts, and at most `most`; a `missing` one is not.
    """
    for row in range(len(found)):
        out: Any = np.float32(0.0)
        for k in range(len(features)):
            value = x[row, starts[k]]
            beyond = max((tails[k, 0] - value) * tails[k, 1], (value - tails[k, 2]) * tails[k, 3])
            if beyond > 0.0 and not missing[row, features[k]]:
                out = max(out, min(at_start + beyond, most))
        found[row] = out


@compiled("void(f4[::1], f8[::1], f8[::1], f4[::1])")
def lift(surprises: Floats32, points: Floats, logs: Floats, errors: Floats32) -> None:
    """The errors (n,) that are as rare as (n,) `surprises`: linear between the `points` (P,), whose errors have these
    `logs` (P,); 0 below the first point, and constant beyond the last.
    """
    last = len(points) - 1
    for row in range(len(errors)):
        value = surprises[row]
        if value < points[0]:
            errors[row] = np.float32(0.0)
            continue
        right = 1
        while right < last and points[right] < value:
            right += 1
        share = min((value - points[right - 1]) / (points[right] - points[right - 1]), 1.0)
        errors[row] = math.exp(logs[right - 1] + share * (logs[right] - logs[right - 1]))
