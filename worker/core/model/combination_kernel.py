"""Values to the cells of the tables of combinations, and the largest surprise of each row, compiled."""

from __future__ import annotations

from typing import Any

from worker.core.compiled import Flags, Floats32, Ints, compiled

# Columns of the table of served tables, (T, 5) int64.
LEFT = 0  # the feature that gives the row
RIGHT = 1  # the feature that gives the column, -1 for none
FIRST = 2  # the first cell
ROWS = 3
SIDE = 4  # how many columns


@compiled("void(f4[:,::1], b1[:,::1], i8[::1], i8[::1], f4[:,::1], i8[:,::1])")
def bin_numbers(x: Floats32, missing: Flags, features: Ints, starts: Ints, edges: Floats32, found: Ints) -> None:
    """The bin of each of K numbers of n rows: that of number k, in column `starts[k]` of `x` (n, inputs), goes to
    column `features[k]` of `found` (n, F). It is the number of its `edges[k]` (K, E), in order, that are at most the
    value, and E + 1 where the value is `missing` (n, F).
    """
    count = edges.shape[1]
    for row in range(len(x)):
        for k in range(len(features)):
            value = x[row, starts[k]]
            low: Any = 0
            high: Any = count
            while low < high:
                middle = (low + high) // 2
                if edges[k, middle] <= value:
                    low = middle + 1
                else:
                    high = middle
            found[row, features[k]] = count + 1 if missing[row, features[k]] else low


@compiled("void(i8[:,::1], i8[:,::1], f4[::1], f4[::1])")
def largest(cells: Ints, tables: Ints, surprise: Floats32, found: Floats32) -> None:
    """The largest `surprise` of each row over T `tables` (T, 5) to `found` (n,), from 0; `cells` (n, F)."""
    for row in range(len(found)):
        most = found[row]
        for t in range(len(tables)):
            cell = tables[t, FIRST] + cells[row, tables[t, LEFT]] * tables[t, SIDE]
            if tables[t, RIGHT] >= 0:
                cell += cells[row, tables[t, RIGHT]]
            most = max(most, surprise[cell])
        found[row] = most
