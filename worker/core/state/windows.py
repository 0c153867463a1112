"""Windows: each event together with its entity's earlier records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns, dtype_of, from_bytes, to_bytes
from worker.core.events.spec import FeatureSpec


def lags_of(entities: Sequence[str | None], window: int) -> npt.NDArray[np.int64]:
    """(n, window) int64: the row numbers of each row and of its entity's `window` - 1 rows before it, newest first.

    An entity with fewer rows repeats its oldest one.
    """
    names: dict[str | None, int] = {}
    codes = np.fromiter((names.setdefault(entity, len(names)) for entity in entities), np.int64, len(entities))
    # Grouped by entity, in order within each: the record before a row is then the place before it.
    order = np.argsort(codes, kind="stable")
    grouped = codes[order]
    first = np.searchsorted(grouped, grouped, side="left")
    places = np.maximum(np.arange(len(order))[:, None] - np.arange(window), first[:, None])
    lags = np.empty((len(order), window), np.int64)
    lags[order] = order[places]
    return lags


class Histories:
    """The last W - 1 records of each entity, by slot: the part of a window that lies before the current batch.

    `depth` (slots,) int64 counts the records that a slot holds; they lie at the end of its row, newest last.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec = spec
        self._keep = spec.window - 1
        self.depth = np.empty(0, np.int64)
        self._held = [np.empty((0, self._keep), dtype_of(column.kind)) for column in spec.columns]

    def grow(self, slots: int) -> None:
        """Make room for `slots` slots, if there are fewer."""
        more = slots - len(self.depth)
        if more > 0:
            self.depth = np.concatenate((self.depth, np.zeros(more, np.int64)))
            self._held = [np.concatenate((held, np.empty((more, self._keep), held.dtype))) for held in self._held]

    def attach(self, columns: Columns, slots: npt.NDArray[np.int64], fresh: npt.NDArray[np.bool_]) -> Columns:
        """Attach the windows to n events, and keep the newest records for the next batch.

        `slots` (n,) int64 are the slots of their entities. `fresh` (n,) marks a record whose entity was unknown: a new
        life begins in its slot, even if the same entity has been evicted in this batch and has come back.
        """
        held_in, codes = np.unique(slots, return_inverse=True)
        lives = _lives(codes, fresh)
        known = np.flatnonzero(np.bincount(codes[lives == 0], minlength=len(held_in)))
        depth = self.depth[held_in[known]]
        old = np.repeat(known, depth)
        place = self._keep - np.repeat(depth, depth) + _within(depth)
        values = tuple(
            np.concatenate((held[held_in[old], place], column))
            for held, column in zip(self._held, columns.values, strict=True)
        )
        entity = np.concatenate((old, codes))
        life = np.concatenate((np.zeros(len(old), np.int64), lives))
        lags = lags_of((entity * (int(life.max(initial=0)) + 1) + life).tolist(), self._spec.window)
        self._remember(values, entity, life, held_in)
        return Columns(values, lags[len(old) :]).compact()

    def _remember(self, values: tuple[Any, ...], entity: Any, life: Any, held_in: Any) -> None:
        """Keep the last records of the last life in each slot."""
        last = np.zeros(len(held_in), np.int64)
        np.maximum.at(last, entity, life)
        rows = np.flatnonzero(life == last[entity])
        rows = rows[np.argsort(entity[rows], kind="stable")]
        owner = entity[rows]
        back = np.searchsorted(owner, owner, side="right") - np.arange(len(rows))  # 1 for an entity's newest
        kept = back <= self._keep
        rows, owner, back = rows[kept], owner[kept], back[kept]
        for held, column in zip(self._held, values, strict=True):
            held[held_in[owner], self._keep - back] = column[rows]
        self.depth[held_in] = np.bincount(owner, minlength=len(held_in))

    # Snapshots.

    def capture(self, slots: npt.NDArray[np.int64]) -> Callable[[], list[bytes]]:
        """Copy the records of these slots (n,); the function that is returned encodes them, in any thread."""
        depth = self.depth[slots]
        inside = _places(depth, self._keep)
        past = Columns(tuple(held[slots][inside] for held in self._held))
        return lambda: [depth.tobytes(), to_bytes(past, self._spec)]

    def load(self, parts: Sequence[list[bytes]], chosen: npt.NDArray[np.int64]) -> None:
        """Load captured records: the first slots get the rows `chosen` of the concatenation of all `parts`."""
        depths = [np.frombuffer(depth, np.int64) for depth, _ in parts]
        columns: list[list[npt.NDArray[Any]]] = []
        for depth, (_, past) in zip(depths, parts, strict=True):
            full = [np.empty((len(depth), self._keep), held.dtype) for held in self._held]
            for whole, column in zip(full, from_bytes(past, self._spec).values, strict=True):
                whole[_places(depth, self._keep)] = column
            columns.append(full)
        self.depth[: len(chosen)] = np.concatenate(depths)[chosen]
        for i, held in enumerate(self._held):
            held[: len(chosen)] = np.concatenate([full[i] for full in columns])[chosen]


def _places(depth: npt.NDArray[np.int64], keep: int) -> npt.NDArray[np.bool_]:
    """(n, keep) bool: True where a slot of this `depth` (n,) holds a record."""
    inside: npt.NDArray[np.bool_] = np.arange(keep) >= keep - depth[:, None]
    return inside


def _within(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """0 to count - 1 for each count, concatenated."""
    return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)


def _lives(codes: npt.NDArray[np.intp], fresh: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """(n,) the number of lives that have begun in a record's slot, in this batch and up to this record.

    `codes` (n,) are the slots' numbers in the batch; `fresh` (n,) marks the records that begin a life.
    """
    order = np.argsort(codes, kind="stable")
    begun = np.concatenate(([0], np.cumsum(fresh[order])))
    lives = np.empty(len(codes), np.int64)
    lives[order] = begun[1:] - begun[np.searchsorted(codes[order], codes[order], side="left")]
    return lives
