"""What a partition remembers of its entities: decayed statistics for rates, the last records for windows.

An event's columns come from this state before the event enters. Everything is a fold over the records in offset order,
whatever the batches: damped incremental statistics after Mirsky et al., "Kitsune", NDSS 2018, section V, on the
entity's own event time. Each update is clipped at five deviations of the entity's own past, whatever the verdict, so
that one event moves a baseline only a little.

Out of order, a record changes its entity's clock not at all and weighs what it would weigh had it come in time; an
event time ahead of the partition's clock counts as that clock's. Entities are bounded by count (the one seen longest
ago in the log goes) and by idle event time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns
from worker.core.events.entity_names import PackedNames, pack_names
from worker.core.events.spec import Bounds, FeatureSpec, RateFeature
from worker.core.model.scaling import apply_transform, undo_transform
from worker.core.state.entity_kernel import M2, MEAN, PER_RATE, WEIGHT, advance
from worker.core.state.entity_table import EntityTable
from worker.core.state.entity_table_kernel import EVICTED, HEAD, LAST_CLOCK, LAST_OFFSET, LAST_TIME, LATE, SEEN
from worker.core.state.windows import Histories

_SEGMENT_ROWS = 65_536
_LARGEST = 1e100
_TIMES = (LAST_TIME, LAST_CLOCK, LAST_OFFSET)


@dataclass(frozen=True, slots=True)
class ObservedColumns:
    """`columns` as the model sees them; how many entities were `evicted`, and how many records came `late`."""

    columns: Columns
    evicted: int
    late: int


class Entities:
    """The entities of one partition."""

    def __init__(self, spec: FeatureSpec, bounds: Bounds) -> None:
        self._spec = spec
        self._bounds = bounds
        self._half_lives = np.array(sorted({rate.half_life * 1_000.0 for rate in spec.rates}), np.float64)
        self._half_life_of = np.array([np.searchsorted(self._half_lives, r.half_life * 1_000.0) for r in spec.rates],
                                      np.int64)  # fmt: skip
        self._decay = np.empty(len(self._half_lives))
        width = len(self._half_lives) + PER_RATE * len(spec.rates)
        self._table = EntityTable(len(spec.rates), width, bounds.entities)
        self._histories = Histories(spec) if spec.window > 1 else None

    def __len__(self) -> int:
        return len(self._table)

    # Events.

    def observe(
        self,
        columns: Columns,
        names: PackedNames,
        times: npt.NDArray[np.int64],
        clock: npt.NDArray[np.int64],
        offsets: npt.NDArray[np.int64],
    ) -> ObservedColumns:
        """n decoded events in offset order, all int64 (n,): their columns, from what was known before each.

        `columns` as decoded, `names` of their entities, `times` event time and `clock` the partition's, in ms.
        """
        if not len(offsets):
            return ObservedColumns(Columns.empty(self._spec), 0, 0)
        rows, before = self._advance(columns, names, np.minimum(times, clock), clock, offsets)
        made = self._columns(columns, before)
        if self._histories is not None:
            self._histories.grow(len(self._table.rows))
            made = self._histories.attach(made, rows, before["fresh"])
        return ObservedColumns(made, int(self._table.meta[EVICTED]), int(self._table.meta[LATE]))

    def _advance(
        self, columns: Columns, names: PackedNames, times: Any, clock: Any, offsets: Any
    ) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
        """The row of each event's entity, and what was known of it before."""
        n, rates = len(offsets), len(self._spec.rates)
        values = np.empty((rates, n))
        read = [i for i, feature in enumerate(self._spec.features) if isinstance(feature, RateFeature)]
        for r, (i, rate) in enumerate(zip(read, self._spec.rates, strict=True)):
            values[r] = np.clip(apply_transform(columns.values[i], rate.transform), -_LARGEST, _LARGEST)
        before = {"gap": np.empty(n), "count": np.empty((len(self._half_lives), n))}
        before |= {name: np.empty((rates, n)) for name in ("mean", "deviation", "change")}
        fresh = np.empty(n, np.bool_)
        table = self._table
        names = names if names.hashes is not None else names.with_hashes()
        tags, rows = table.find(names)
        advance(names.bytes, names.starts, names.stops, tags, times, clock, offsets, values, self._half_lives,
                self._half_life_of, self._bounds.entities, self._bounds.idle_ms, table.buckets, table.rows, table.sums,
                table.arena, table.free, table.meta, self._decay, fresh, rows, *before.values())  # fmt: skip
        return rows, before | {"fresh": fresh}

    def _columns(self, decoded: Columns, found: dict[str, npt.NDArray[Any]]) -> Columns:
        """In the order of `spec.columns`."""
        made: list[npt.NDArray[Any]] = []
        r, counted = 0, set()
        for feature, column in zip(self._spec.features, decoded.values, strict=True):
            if not isinstance(feature, RateFeature):
                made.append(column)
                continue
            made += [undo_transform(found["mean"][r], feature.transform), found["deviation"][r], found["change"][r]]
            half_life = int(self._half_life_of[r])
            if half_life not in counted:
                counted.add(half_life)
                made.append(found["count"][half_life])
            if r == 0:
                made.append(found["gap"])
            r += 1
        return Columns(tuple(made))

    # The table behind snapshots: each entity is a row that its last record changed.

    @property
    def oldest(self) -> int:
        """The offset of the last record of the entity that was seen longest ago; rows before it are gone."""
        return int(self._table.rows[self._table.meta[HEAD], LAST_OFFSET]) if len(self) else 0

    def changed(self, since: int) -> int:
        """How many entities had a record from offset `since` on."""
        return int(np.count_nonzero(self._table.rows[:, LAST_OFFSET] >= max(since, 0)))

    def capture(self, since: int) -> list[Callable[[], bytes]]:
        """Copies of those entities, to be encoded later and in any thread; rows in the order of their last records."""
        offsets = self._table.rows[:, LAST_OFFSET]
        rows = np.flatnonzero(offsets >= max(since, 0))
        rows = rows[np.argsort(offsets[rows])]
        return [self._copied(rows[start : start + _SEGMENT_ROWS]) for start in range(0, len(rows), _SEGMENT_ROWS)]

    def _copied(self, chosen: npt.NDArray[np.int64]) -> Callable[[], bytes]:
        names = self._table.names(chosen)
        rows, sums = self._table.rows[chosen], self._table.sums[chosen]
        past = self._histories.capture(chosen) if self._histories is not None else list

        def encode() -> bytes:
            arrays = [rows[:, at] for at in _TIMES] + [rows[:, SEEN:]] + [sums[:, at] for at in self._parts()]
            return msgspec.msgpack.encode([names.all(), [array.tobytes() for array in arrays], past()])

        return encode

    def _parts(self) -> list[slice]:
        """Where counts, weights, means and squares are in the table's sums."""
        first = len(self._half_lives)
        return [slice(0, first), *(slice(first + part, None, PER_RATE) for part in (WEIGHT, MEAN, M2))]

    def load(self, segments: Sequence[bytes], oldest: int) -> None:
        """Fill an empty table from `capture`'s segments, older first; raises ValueError where one is damaged."""
        parts = [self._segment(raw) for raw in segments]
        if not parts:
            return
        every = [name for names, _, _, _ in parts for name in names]
        newest = np.fromiter(dict(zip(every, range(len(every)), strict=True)).values(), np.int64)
        rows, sums = (np.concatenate(tables) for tables in ([part[1] for part in parts], [part[2] for part in parts]))
        last_offset = rows[:, LAST_OFFSET]
        chosen = newest[last_offset[newest] >= oldest]
        # Where the bound was lowered since, those seen longest ago go.
        chosen = chosen[np.argsort(last_offset[chosen])][-self._bounds.entities :]
        self._table.fill(pack_names([every[row] for row in chosen.tolist()]).with_hashes(), rows[chosen], sums[chosen])
        if self._histories is not None:
            self._histories.grow(len(self._table.rows))
            self._histories.load([part[3] for part in parts], chosen)

    def _segment(self, raw: bytes) -> tuple[list[str | None], npt.NDArray[Any], npt.NDArray[Any], list[bytes]]:
        """Names, rows and sums as the table has them, and histories."""
        try:
            names, blobs, past = msgspec.msgpack.decode(raw, type=tuple[list[str | None], list[bytes], list[bytes]])
            n = len(names)
            rows, sums = np.zeros((n, self._table.rows.shape[1]), np.int64), np.zeros((n, self._table.sums.shape[1]))
            places = [rows[:, at] for at in _TIMES] + [rows[:, SEEN:]] + [sums[:, at] for at in self._parts()]
            for place, blob in zip(places, blobs, strict=True):
                place[:] = np.frombuffer(blob, place.dtype).reshape(place.shape)
        except (msgspec.MsgspecError, ValueError) as error:
            raise ValueError(f"not entities of this feature spec: {error}") from error
        return names, rows, sums, past
