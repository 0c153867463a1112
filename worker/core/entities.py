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
from itertools import count, repeat
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from worker.core.columns import Columns, objects
from worker.core.entity_kernel import EVICTED, FREE, LATE, USED, advance, idle_arrays, number
from worker.core.scaling import inverted, transformed
from worker.core.spec import Bounds, FeatureSpec, RateFeature
from worker.core.windows import Histories

_FIRST_SLOTS = 1_024
_SEGMENT_ROWS = 65_536
_LARGEST = 1e100
_SAVED = ("last_time", "last_clock", "last_offset", "seen", "count", "weight", "mean", "m2")


@dataclass(frozen=True, slots=True)
class Observed:
    """`columns` as the model sees them; how many entities were `evicted`, and how many records came `late`."""

    columns: Columns
    evicted: int
    late: int


class Entities:
    """The entities of one partition, in slots of arrays that grow with them."""

    def __init__(self, spec: FeatureSpec, bounds: Bounds) -> None:
        self._spec = spec
        self._bounds = bounds
        self._half_lives = np.array(sorted({rate.half_life * 1_000.0 for rate in spec.rates}), np.float64)
        self._half_life_of = np.array([np.searchsorted(self._half_lives, r.half_life * 1_000.0) for r in spec.rates],
                                      np.int64)  # fmt: skip
        self._slot_of: dict[str | None, int] = {}
        self._names: npt.NDArray[np.object_] = np.empty(0, object)
        self._meta = np.array([-1, -1, 0, 0, 0, 0], np.int64)
        self._free = np.empty(0, np.int64)
        self._slots = idle_arrays(0, len(spec.rates), len(self._half_lives))
        self._histories = Histories(spec) if spec.window > 1 else None

    def __len__(self) -> int:
        return int(self._meta[USED])

    # Events.

    def observe(
        self,
        columns: Columns,
        names: Sequence[str | None],
        times: npt.NDArray[np.int64],
        clock: npt.NDArray[np.int64],
        offsets: npt.NDArray[np.int64],
    ) -> Observed:
        """n decoded events in offset order, all int64 (n,): their columns, from what was known before each.

        `columns` as decoded, `names` of their entities, `times` event time and `clock` the partition's, in ms.
        """
        if not len(offsets):
            return Observed(Columns.empty(self._spec), 0, 0)
        codes, slot_of, newcomers = self._numbered(names)
        was = slot_of.copy()
        called = objects(newcomers + self._names[was[len(newcomers) :]].tolist())
        evicted = np.empty(len(self) + len(offsets), np.int64)
        statistics = self._advance(codes, np.minimum(times, clock), clock, offsets, columns, slot_of, evicted)
        gone = evicted[: self._meta[EVICTED]]
        self._rename(called, was, slot_of, gone)
        made = self._columns(columns, statistics)
        if self._histories is not None:
            made = self._histories.attach(made, codes, statistics["fresh"], was, slot_of)
        return Observed(made, len(gone), int(self._meta[LATE]))

    def _numbered(self, names: Sequence[str | None]) -> tuple[Any, Any, list[str | None]]:
        """The batch's entities by number: of each record, their slots, and the names of the first of them, the new."""
        slots = np.fromiter(map(self._slot_of.get, names, repeat(-1)), np.int64, len(names))
        new = np.flatnonzero(slots < 0).tolist()
        newcomers = dict(zip(dict.fromkeys(names[row] for row in new), count()))
        for row in new:
            slots[row] = -1 - newcomers[names[row]]
        self._grow(len(newcomers))
        codes, slot_of = np.empty(len(names), np.int64), np.empty(len(newcomers) + len(names), np.int64)
        entities = number(slots, len(newcomers), self._slots["code_of"], codes, slot_of)
        return codes, slot_of[:entities], list(newcomers)

    def _advance(self, codes: Any, times: Any, clock: Any, offsets: Any, columns: Columns, slot_of: Any,
                 evicted: Any) -> dict[str, npt.NDArray[Any]]:  # fmt: skip
        n, rates, half_lives = len(codes), len(self._spec.rates), len(self._half_lives)
        values = np.empty((n, rates))
        read = [i for i, feature in enumerate(self._spec.features) if isinstance(feature, RateFeature)]
        for r, (i, rate) in enumerate(zip(read, self._spec.rates, strict=True)):
            values[:, r] = np.clip(transformed(columns.values[i], rate.transform), -_LARGEST, _LARGEST)
        out = {"fresh": np.empty(n, np.bool_), "gap": np.empty(n), "count": np.empty((n, half_lives))}
        out |= {name: np.empty((n, rates)) for name in ("mean", "deviation", "change")}
        s = self._slots
        advance(codes, times, clock, offsets, values, self._half_lives, self._half_life_of,
                self._bounds.entities, self._bounds.idle_ms,
                slot_of, s["code_of"], s["before"], s["after"], self._free, evicted, self._meta, s["last_time"],
                s["last_clock"], s["last_offset"], s["seen"], s["count"], s["weight"], s["mean"], s["m2"],
                *out.values())  # fmt: skip
        return out

    def _rename(self, called: npt.NDArray[np.object_], was: Any, slot_of: Any, gone: Any) -> None:
        for slot, name in zip(gone.tolist(), self._names[gone].tolist(), strict=True):
            if self._slot_of.get(name) == slot:  # else the slot's name is an older tenant's
                del self._slot_of[name]
        # Who was evicted and came back may have got its old slot again.
        for code in np.flatnonzero((slot_of >= 0) & ((was != slot_of) | np.isin(slot_of, gone))).tolist():
            self._slot_of[called[code]] = int(slot_of[code])
            self._names[slot_of[code]] = called[code]
        self._slots["code_of"][slot_of[slot_of >= 0]] = -1

    def _columns(self, decoded: Columns, found: dict[str, npt.NDArray[Any]]) -> Columns:
        """In the order of `spec.columns`."""
        made: list[npt.NDArray[Any]] = []
        r, counted = 0, set()
        for feature, column in zip(self._spec.features, decoded.values, strict=True):
            if not isinstance(feature, RateFeature):
                made.append(column)
                continue
            made += [inverted(found["mean"][:, r], feature.transform), found["deviation"][:, r], found["change"][:, r]]
            half_life = int(self._half_life_of[r])
            if half_life not in counted:
                counted.add(half_life)
                made.append(found["count"][:, half_life])
            if r == 0:
                made.append(found["gap"])
            r += 1
        return Columns(tuple(np.ascontiguousarray(column) for column in made))

    # Slots.

    def _grow(self, wanted: int) -> None:
        have = len(self._free)
        least = min(len(self) + wanted, self._bounds.entities)
        if least <= have:
            return
        size = min(max(_FIRST_SLOTS, 2 * have, least), self._bounds.entities)
        more = idle_arrays(size - have, len(self._spec.rates), len(self._half_lives))
        self._slots = {name: np.concatenate((array, more[name])) for name, array in self._slots.items()}
        self._names = np.concatenate((self._names, np.empty(size - have, object)))
        if self._histories is not None:
            self._histories.grow(size - have)
        free = np.empty(size, np.int64)
        free[: self._meta[FREE]] = self._free[: self._meta[FREE]]
        free[self._meta[FREE] : self._meta[FREE] + size - have] = np.arange(size - 1, have - 1, -1)
        self._meta[FREE] += size - have
        self._free = free

    # The table behind snapshots: each entity is a row that its last record changed.

    @property
    def oldest(self) -> int:
        """The offset of the last record of the entity that was seen longest ago; rows before it are gone."""
        offsets = self._slots["last_offset"]
        return int(offsets[self._meta[0]]) if len(self) else 0

    def changed(self, since: int) -> int:
        """How many entities had a record from offset `since` on."""
        return int(np.count_nonzero(self._slots["last_offset"] >= max(since, 0)))

    def capture(self, since: int) -> list[Callable[[], bytes]]:
        """Copies of those entities, to be encoded later and in any thread; rows in the order of their last records."""
        rows = np.flatnonzero(self._slots["last_offset"] >= max(since, 0))
        rows = rows[np.argsort(self._slots["last_offset"][rows])]
        return [self._copied(rows[start : start + _SEGMENT_ROWS]) for start in range(0, len(rows), _SEGMENT_ROWS)]

    def _copied(self, rows: npt.NDArray[np.int64]) -> Callable[[], bytes]:
        names = self._names[rows]
        arrays = [self._slots[name][rows] for name in _SAVED]
        past = self._histories.capture(rows) if self._histories is not None else list

        def encode() -> bytes:
            return msgspec.msgpack.encode([names.tolist(), [array.tobytes() for array in arrays], past()])

        return encode

    def load(self, segments: Sequence[bytes], oldest: int) -> None:
        """Fill empty slots from `capture`'s segments, older first; raises ValueError where one is damaged."""
        parts = [self._segment(raw) for raw in segments]
        if not parts:
            return
        every = [name for names, _, _ in parts for name in names]
        newest = np.fromiter(dict(zip(every, range(len(every)), strict=True)).values(), np.int64)
        columns = [np.concatenate(arrays) for arrays in zip(*(part[1] for part in parts), strict=True)]
        last_offset = columns[_SAVED.index("last_offset")]
        rows = newest[last_offset[newest] >= oldest]
        # Where the bound was lowered since, those seen longest ago go.
        rows = rows[np.argsort(last_offset[rows])][-self._bounds.entities :]
        self._grow(len(rows))
        self._fill(len(rows), objects(every)[rows], [column[rows] for column in columns])
        if self._histories is not None:
            self._histories.load([part[2] for part in parts], rows)

    def _fill(self, count: int, names: npt.NDArray[np.object_], columns: list[npt.NDArray[Any]]) -> None:
        for name, column in zip(_SAVED, columns, strict=True):
            self._slots[name][:count] = column
        self._names[:count] = names
        self._slot_of = dict(zip(names.tolist(), range(count), strict=True))
        self._slots["before"][:count] = np.arange(-1, count - 1)
        self._slots["after"][:count] = np.arange(1, count + 1)
        if count:
            self._slots["after"][count - 1] = -1
        size = len(self._free)
        self._free[: size - count] = np.arange(size - 1, count - 1, -1)
        self._meta[:4] = [0 if count else -1, count - 1, count, size - count]

    def _segment(self, raw: bytes) -> tuple[list[str | None], list[npt.NDArray[Any]], list[bytes]]:
        like = idle_arrays(0, len(self._spec.rates), len(self._half_lives))
        try:
            names, blobs, past = msgspec.msgpack.decode(raw, type=tuple[list[str | None], list[bytes], list[bytes]])
            arrays = [np.frombuffer(blob, like[name].dtype).reshape(len(names), *like[name].shape[1:])
                      for name, blob in zip(_SAVED, blobs, strict=True)]  # fmt: skip
        except (msgspec.MsgspecError, ValueError) as error:
            raise ValueError(f"not entities of this feature spec: {error}") from error
        return names, arrays, past
