"""The memory that a partition has of its entities: statistics for rates, last values, and last records for windows.

An event's columns are computed from this state before the event is folded into it. Everything is a fold over the
records in offset order, whatever the batches: damped incremental statistics after Mirsky et al., "Kitsune", NDSS 2018,
section V, on the entity's own event time. Each value is clipped at five of the entity's own deviations before it is
folded in, whether its event was flagged or not, so that one event moves a baseline only a little.

A late record does not move its entity's clock, and gets the weight it would have had on time. An event time ahead of
the partition's clock counts as that clock's time (`last_value_kernel` has rules of its own for both). Entities are
bounded by number (the one seen longest ago in the log is evicted) and by idle event time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns
from worker.core.events.entity_names import PackedNames, pack_names
from worker.core.events.spec import DeltaFeature, FeatureSpec, LastValueFeature, RateFeature, rate_statistics
from worker.core.model.scaling import apply_transform, undo_transform
from worker.core.state.bounds import Bounds
from worker.core.state.entity_kernel import M2, MEAN, PER_RATE, WEIGHT, Batch, Before, Rates, advance
from worker.core.state.entity_table import EntityTable
from worker.core.state.entity_table_kernel import LAST_CLOCK, LAST_OFFSET, LAST_TIME, SEEN
from worker.core.state.last_value_kernel import PENDING, PER_LAST_VALUE, TIME, VALUE, LastValues
from worker.core.state.windows import Histories

_SEGMENT_ROWS = 65_536
_LARGEST = 1e100
_LAST_RECORD = (LAST_TIME, LAST_CLOCK, LAST_OFFSET)


@dataclass(frozen=True, slots=True)
class ObservedColumns:
    """`columns` as the model sees them; how many entities were `evicted`, and how many records were `late`."""

    columns: Columns
    evicted: int
    late: int


class Entities:
    """The entities of one partition."""

    def __init__(self, spec: FeatureSpec, bounds: Bounds) -> None:
        self._spec = spec
        self._bounds = bounds
        half_lives = sorted({rate.half_life * 1_000.0 for rate in spec.rates})
        self._rates = Rates(
            half_lives=np.array(half_lives, np.float64),
            half_life_of=np.array([half_lives.index(rate.half_life * 1_000.0) for rate in spec.rates], np.int64),
            decay=np.empty(len(half_lives)),
        )
        deltas = [feature if isinstance(feature, DeltaFeature) else None for feature in spec.last_values]
        self._asked = LastValues(
            unchanged=np.array([delta is None for delta in deltas], np.bool_),
            counter=np.array([delta is not None and delta.counter for delta in deltas], np.bool_),
            per_second=np.array([delta is not None and delta.per == "second" for delta in deltas], np.bool_),
        )
        sums = len(half_lives) + PER_RATE * len(spec.rates) + PER_LAST_VALUE * len(spec.last_values)
        self._table = EntityTable(len(spec.rates), sums, bounds.entities)
        self._statistics = [rate_statistics(rate, spec.rates) for rate in spec.rates]
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
        """Fold n decoded events in offset order; return their columns, computed from the state before each of them.

        `columns` as decoded, `names` of their entities; `times` (n,) int64 event time in ms, `clock` (n,) int64 the
        partition's time in ms, `offsets` (n,) int64.
        """
        if not len(offsets):
            return ObservedColumns(Columns.empty(self._spec), 0, 0)
        batch = Batch(
            times=np.minimum(times, clock),
            event_times=times,
            clock=clock,
            offsets=offsets,
            values=self._values(columns),
            numbers=self._numbers(columns),
        )
        rows, before = self._advance(names, batch)
        observed = self._columns(columns, before)
        if self._histories is not None:
            self._histories.grow(len(self._table.rows))
            observed = self._histories.attach(observed, rows, before.fresh)
        return ObservedColumns(observed, int(self._table.state["evicted"]), int(self._table.state["late"]))

    def _values(self, columns: Columns) -> npt.NDArray[np.float64]:
        """The transformed values of the rates, (rates, n)."""
        values = np.empty((len(self._spec.rates), len(columns)))
        decoded = zip(self._spec.features, columns.values, strict=True)
        rates = ((feature, column) for feature, column in decoded if isinstance(feature, RateFeature))
        for row, (rate, column) in zip(values, rates, strict=True):
            row[:] = np.clip(apply_transform(column, rate.transform), -_LARGEST, _LARGEST)
        return values

    def _numbers(self, columns: Columns) -> npt.NDArray[np.float64]:
        """The numbers that are compared with their entities' last values, (last values, n)."""
        numbers = np.empty((len(self._spec.last_values), len(columns)))
        decoded = zip(self._spec.features, columns.values, strict=True)
        chosen = (column for feature, column in decoded if isinstance(feature, LastValueFeature))
        for row, column in zip(numbers, chosen, strict=True):
            row[:] = column
        return numbers

    def _advance(self, names: PackedNames, batch: Batch) -> tuple[npt.NDArray[np.int64], Before]:
        """Fold n records; return the row of each record's entity (n,), and the statistics before each record."""
        (rates, n), half_lives = batch.values.shape, len(self._rates.half_lives)
        before = Before(
            fresh=np.empty(n, np.bool_),
            gap=np.empty(n),
            count=np.empty((half_lives, n)),
            mean=np.empty((rates, n)),
            deviation=np.empty((rates, n)),
            change=np.empty((rates, n)),
            compared=np.empty(batch.numbers.shape),
        )
        packed, rows = self._table.find(names if names.hashes is not None else names.with_hashes())
        bounds, table = self._bounds, self._table.arrays
        advance(packed, batch, bounds.entities, bounds.idle_ms, table, self._rates, self._asked, rows, before)
        return rows, before

    def _columns(self, decoded: Columns, before: Before) -> Columns:
        """The columns in the order of `spec.columns`."""
        columns: list[npt.NDArray[Any]] = []
        rates, compared = enumerate(self._statistics), iter(before.compared)
        for feature, column in zip(self._spec.features, decoded.values, strict=True):
            if isinstance(feature, RateFeature):
                r, statistics = next(rates)
                columns += [self._statistic(name, r, before) for name in statistics]
            elif isinstance(feature, LastValueFeature):
                columns.append(next(compared))
            else:
                columns.append(column)
        return Columns(tuple(columns))

    def _statistic(self, name: str, r: int, before: Before) -> npt.NDArray[np.float64]:
        """One of the `rate_statistics` of rate `r`, (n,)."""
        statistic: npt.NDArray[np.float64]
        if name == "gap":
            statistic = before.gap
        elif name == "count":
            statistic = before.count[self._rates.half_life_of[r]]
        elif name == "mean":
            statistic = undo_transform(before.mean[r], self._spec.rates[r].transform)
        else:
            statistic = before.deviation[r] if name == "deviation" else before.change[r]
        return statistic

    # Snapshots, in which an entity is a row that its last record has changed.

    @property
    def oldest(self) -> int:
        """The offset of the last record of the entity seen longest ago; rows of snapshots before it are obsolete."""
        return int(self._table.rows[self._table.state["head"], LAST_OFFSET]) if len(self) else 0

    def changed(self, since: int) -> int:
        """The number of entities that had a record at offset `since` or later."""
        return int(np.count_nonzero(self._table.rows[:, LAST_OFFSET] >= max(since, 0)))

    def capture(self, since: int) -> list[Callable[[], bytes]]:
        """Copy the entities that changed since that offset, in the order of their last records.

        Each function that is returned encodes one segment, later and in any thread.
        """
        offsets = self._table.rows[:, LAST_OFFSET]
        rows = np.flatnonzero(offsets >= max(since, 0))
        rows = rows[np.argsort(offsets[rows])]
        return [self._copy(rows[start : start + _SEGMENT_ROWS]) for start in range(0, len(rows), _SEGMENT_ROWS)]

    def _copy(self, chosen: npt.NDArray[np.int64]) -> Callable[[], bytes]:
        names = self._table.names(chosen)
        arrays = self._stored_columns(self._table.rows[chosen], self._table.sums[chosen])
        past = self._histories.capture(chosen) if self._histories is not None else list

        def encode() -> bytes:
            return msgspec.msgpack.encode([names.all(), [array.tobytes() for array in arrays], past()])

        return encode

    def _stored_columns(self, rows: npt.NDArray[np.int64], sums: npt.NDArray[np.float64]) -> list[npt.NDArray[Any]]:
        """The columns of a table's rows that a segment stores, as views: the times and offset of the last record, the
        counts of values; then of the sums the counts of records, and the weights, means and squares of the rates; then,
        if features compare with last values, what is remembered of those.
        """
        first = len(self._rates.half_lives)
        last = first + PER_RATE * len(self._spec.rates)
        of_rates = [sums[:, first + column : last : PER_RATE] for column in (WEIGHT, MEAN, M2)]
        of_last = [sums[:, last + column :: PER_LAST_VALUE] for column in (VALUE, TIME, PENDING)]
        plain = [*(rows[:, column] for column in _LAST_RECORD), rows[:, SEEN:], sums[:, :first], *of_rates]
        return [*plain, *of_last] if self._spec.last_values else plain

    def load(self, segments: Sequence[bytes], oldest: int) -> None:
        """Fill an empty table from `capture`'s segments, older first. Raises ValueError if one is damaged."""
        loaded = [self._load_segment(raw) for raw in segments]
        if not loaded:
            return
        names = [name for segment in loaded for name in segment.names]
        newest = np.fromiter(dict(zip(names, range(len(names)), strict=True)).values(), np.int64)
        rows = np.concatenate([segment.rows for segment in loaded])
        sums = np.concatenate([segment.sums for segment in loaded])
        last_offset = rows[:, LAST_OFFSET]
        chosen = newest[last_offset[newest] >= oldest]
        # If the bound has been lowered since, the entities seen longest ago are left out.
        chosen = chosen[np.argsort(last_offset[chosen])][-self._bounds.entities :]
        self._table.fill(pack_names([names[row] for row in chosen.tolist()]).with_hashes(), rows[chosen], sums[chosen])
        if self._histories is not None:
            self._histories.grow(len(self._table.rows))
            self._histories.load([segment.past for segment in loaded], chosen)

    def _load_segment(self, raw: bytes) -> _Segment:
        try:
            names, blobs, past = msgspec.msgpack.decode(raw, type=tuple[list[str | None], list[bytes], list[bytes]])
            n = len(names)
            rows, sums = np.zeros((n, self._table.rows.shape[1]), np.int64), np.zeros((n, self._table.sums.shape[1]))
            for column, blob in zip(self._stored_columns(rows, sums), blobs, strict=True):
                column[:] = np.frombuffer(blob, column.dtype).reshape(column.shape)
        except (msgspec.MsgspecError, ValueError) as error:
            raise ValueError(f"not entities of this feature spec: {error}") from error
        return _Segment(names, rows, sums, past)


class _Segment(NamedTuple):
    """n entities: their names, rows and sums as the table has them, and their histories."""

    names: list[str | None]
    rows: npt.NDArray[np.int64]
    sums: npt.NDArray[np.float64]
    past: list[bytes]
