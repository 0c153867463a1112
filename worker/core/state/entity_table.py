"""The arrays of an entity table, which grow with the number of entities and with the bytes of their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from worker.core.events.entity_names import PackedNames
from worker.core.state.entity_table_kernel import (
    AFTER,
    BEFORE,
    LAST_OFFSET,
    NAME,
    SEEN,
    SIZE,
    TABLE_STATE,
    TAG,
    Names,
    Table,
    enter_all,
    find_rows,
)

_FIRST_ROWS = 1_024


class EntityTable:
    """`rows` (R, SEEN + rates) int64 and `sums` (R, S) float64, one row per entity; see `entity_table_kernel`."""

    def __init__(self, rates: int, sums: int, capacity: int) -> None:
        self._capacity = capacity
        self.rows = np.empty((0, SEEN + rates), np.int64)
        self.sums = np.empty((0, sums), np.float64)
        self._buckets = np.full(1, -1, np.int64)
        self._arena = bytearray()
        self._free = np.empty(0, np.int64)
        self._state = np.zeros(1, TABLE_STATE)
        self._state[["head", "tail", "unnamed"]] = -1

    def __len__(self) -> int:
        return int(self.state["used"])

    @property
    def state(self) -> Any:
        """The one record of `TABLE_STATE`."""
        return self._state[0]

    @property
    def arrays(self) -> Table:
        """The table as the kernels take it; valid until the next call of `find` or `fill`."""
        return Table(self._buckets, self.rows, self.sums, self.arena, self._free, self._state)

    @property
    def arena(self) -> npt.NDArray[np.uint8]:
        """The bytes of all names, among them some of evicted entities."""
        return np.frombuffer(self._arena, np.uint8)

    def find(self, names: PackedNames) -> tuple[Names, npt.NDArray[np.int64]]:
        """The names as the kernels take them, and the row of each (n,) int64, -1 for the unknown; makes room for those.

        `names` have their hashes.
        """
        assert names.hashes is not None
        tags, found = (names.hashes >> np.uint64(33)).view(np.int64), np.empty(len(names), np.int64)
        packed = Names(names.bytes, names.starts, names.stops, tags)
        missing = find_rows(packed, self.arrays, found)
        self._make_room(missing, len(names.raw))  # for the bytes of all names: an evicted entity may come back
        return packed, found

    def _make_room(self, entities: int, name_bytes: int) -> None:
        """Make room for this many more entities, within the capacity, and for their names."""
        least = min(len(self) + entities, self._capacity)
        if least > len(self.rows):
            self._grow(min(max(_FIRST_ROWS, 2 * len(self.rows), least), self._capacity))
        if self.state["arena"] + name_bytes > len(self._arena):  # drop the names of evicted entities
            live = np.flatnonzero(self.rows[:, LAST_OFFSET] >= 0)
            names = self.names(live)
            self.rows[live, NAME] = names.starts
            self.state["arena"] = len(names.raw)
            self._arena = names.raw + bytearray(len(names.raw) + 2 * name_bytes)

    def _grow(self, size: int) -> None:
        old, free = len(self.rows), self._free[: self.state["free"]]
        rows, sums = np.zeros((size, self.rows.shape[1]), np.int64), np.zeros((size, self.sums.shape[1]))
        rows[:, LAST_OFFSET] = -1
        rows[:old], sums[:old] = self.rows, self.sums
        self.rows, self.sums = rows, sums
        padding = np.empty(old - len(free), np.int64)
        self._free = np.concatenate((free, np.arange(size - 1, old - 1, -1), padding))
        self.state["free"] += size - old
        self._enter_all()

    def _enter_all(self) -> None:
        self._buckets = np.full(1 << (2 * len(self.rows) - 1).bit_length(), -1, np.int64)
        enter_all(self._buckets, self.rows)

    def names(self, rows: npt.NDArray[np.int64]) -> PackedNames:
        """A copy of the names of n live rows."""
        starts, sizes = self.rows[rows, NAME], self.rows[rows, SIZE]
        absent = sizes < 0
        return PackedNames(
            self._arena, np.where(absent, -1, starts), np.where(absent, -1, starts + sizes)
        ).with_hashes()

    def fill(self, names: PackedNames, rows: npt.NDArray[np.int64], sums: npt.NDArray[np.float64]) -> None:
        """Fill an empty table with n entities in the order of their last records.

        `rows` (n, SEEN + rates), of which the columns for neighbours and names are filled here; `sums` (n, S).
        """
        n = len(names)
        packed, _ = self.find(names)
        self.rows[:n], self.sums[:n] = rows, sums
        self.rows[:n, BEFORE], self.rows[:n, AFTER] = np.arange(-1, n - 1), np.arange(1, n + 1)
        self.rows[n - 1 : n, AFTER] = -1
        self.rows[:n, NAME], self.rows[:n, TAG] = names.starts, packed.tags
        self.rows[:n, SIZE] = np.where(names.starts < 0, -1, names.stops - names.starts)
        unnamed = np.flatnonzero(names.starts < 0)
        self._arena = names.raw
        self._free = np.arange(len(self.rows) - 1, -1, -1)
        self.state["head"] = 0 if n else -1
        self.state["tail"] = n - 1
        self.state["used"] = n
        self.state["free"] = len(self.rows) - n
        self.state["unnamed"] = unnamed[0] if len(unnamed) else -1
        self.state["arena"] = len(names.raw)
        self._enter_all()
