"""The rows behind an entity table: they grow with the entities, and so does the room for names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from worker.core.events.entity_names import PackedNames
from worker.core.state.entity_table_kernel import (
    AFTER,
    ARENA,
    BEFORE,
    FREE,
    LAST_OFFSET,
    NAME,
    SEEN,
    SIZE,
    TAG,
    USED,
    enter_all,
    find,
)

_FIRST_ROWS = 1_024


class EntityTable:
    """`rows` (R, SEEN + rates) int64 and `sums` (R, S) float64, one row an entity; see `entity_table_kernel`."""

    def __init__(self, rates: int, sums: int, most: int) -> None:
        """At most `most` entities."""
        self._most = most
        self.rows = np.empty((0, SEEN + rates), np.int64)
        self.sums = np.empty((0, sums), np.float64)
        self.buckets = np.full(1, -1, np.int64)
        self._arena = bytearray()
        self.free = np.empty(0, np.int64)
        self.meta = np.zeros(9, np.int64)
        self.meta[:5] = [-1, -1, 0, 0, -1]

    def __len__(self) -> int:
        return int(self.meta[USED])

    @property
    def arena(self) -> npt.NDArray[np.uint8]:
        """The bytes of all names, and of some that are gone."""
        return np.frombuffer(self._arena, np.uint8)

    def find(self, names: PackedNames) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Of n with_hashes names, both (n,) int64: tags, and rows, -1 for the unknown, for which there is room then."""
        assert names.hashes is not None
        tags, found = (names.hashes >> np.uint64(33)).view(np.int64), np.empty(len(names), np.int64)
        missing = find(names.bytes, names.starts, names.stops, tags, self.buckets, self.rows, self.arena, self.meta,
                       found)  # fmt: skip
        self._make_room(missing, len(names.raw))  # of all: who is evicted may come back
        return tags, found

    def _make_room(self, entities: int, name_bytes: int) -> None:
        """For so many more, as far as they may be kept at once."""
        least = min(len(self) + entities, self._most)
        if least > len(self.rows):
            self._grow(min(max(_FIRST_ROWS, 2 * len(self.rows), least), self._most))
        if self.meta[ARENA] + name_bytes > len(self._arena):  # what evicted entities have left there goes
            live = np.flatnonzero(self.rows[:, LAST_OFFSET] >= 0)
            names = self.names(live)
            self.rows[live, NAME] = names.starts
            self.meta[ARENA] = len(names.raw)
            self._arena = names.raw + bytearray(len(names.raw) + 2 * name_bytes)

    def _grow(self, size: int) -> None:
        have, count = len(self.rows), int(self.meta[FREE])
        rows, sums = np.zeros((size, self.rows.shape[1]), np.int64), np.zeros((size, self.sums.shape[1]))
        rows[:, LAST_OFFSET] = -1
        rows[:have], sums[:have] = self.rows, self.sums
        self.rows, self.sums = rows, sums
        self.free = np.concatenate(
            (self.free[:count], np.arange(size - 1, have - 1, -1), np.empty(have - count, np.int64))
        )
        self.meta[FREE] += size - have
        self._enter_all()

    def _enter_all(self) -> None:
        self.buckets = np.full(1 << (2 * len(self.rows) - 1).bit_length(), -1, np.int64)
        enter_all(self.buckets, self.rows)

    def names(self, rows: npt.NDArray[np.int64]) -> PackedNames:
        """Of n live rows, copied."""
        starts, sizes = self.rows[rows, NAME], self.rows[rows, SIZE]
        absent = sizes < 0
        return PackedNames(
            self._arena, np.where(absent, -1, starts), np.where(absent, -1, starts + sizes)
        ).with_hashes()

    def fill(self, names: PackedNames, rows: npt.NDArray[np.int64], sums: npt.NDArray[np.float64]) -> None:
        """An empty table with n entities in the order of their last records. Of `rows` (n, SEEN + rates) the columns
        for neighbours and names are filled here.
        """
        n = len(names)
        tags, _ = self.find(names)
        self.rows[:n], self.sums[:n] = rows, sums
        self.rows[:n, BEFORE], self.rows[:n, AFTER] = np.arange(-1, n - 1), np.arange(1, n + 1)
        self.rows[n - 1 : n, AFTER] = -1
        self.rows[:n, NAME], self.rows[:n, TAG] = names.starts, tags
        self.rows[:n, SIZE] = np.where(names.starts < 0, -1, names.stops - names.starts)
        nobody = np.flatnonzero(names.starts < 0)
        self._arena = names.raw
        self.free = np.arange(len(self.rows) - 1, -1, -1)
        self.meta[:6] = [0 if n else -1, n - 1, n, len(self.rows) - n, nobody[0] if len(nobody) else -1, len(names.raw)]
        self._enter_all()
