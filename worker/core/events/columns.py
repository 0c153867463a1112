"""Decoded events as columns: one array per feature in the spec's order and, with a window, the earlier records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from worker.core.events.event_time import milliseconds
from worker.core.events.spec import NUMBER_KINDS, FeatureSpec


@dataclass(frozen=True, slots=True)
class Columns:
    """n events. `values[i]` (m,) belongs to column i of the spec or, before the entities are looked up, to feature i.

    If `lags` is None, the m = n rows are the events. With a window W, `lags` (n, W) int64 gives the row numbers of each
    event and of its entity's records before it, newest first; events share rows.

    Numeric: float64, nan if missing. Boolean: float64 of 0, 1 or nan. Cyclic: float64 seconds since 1970 or nan.
    Categorical: object, each a str, int, float, bool or None as decoded; `category` gives its canonical text.
    """

    values: tuple[npt.NDArray[Any], ...]
    lags: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.values[0]) if self.lags is None else len(self.lags)

    def take(self, index: npt.NDArray[Any] | slice) -> Columns:
        if self.lags is None:
            return Columns(tuple(column[index] for column in self.values))
        return Columns(self.values, self.lags[index]).compact()

    def newest(self) -> Columns:
        """The events alone, without a window."""
        return self if self.lags is None else Columns(tuple(column[self.lags[:, 0]] for column in self.values))

    def compact(self) -> Columns:
        """A copy without the rows that no event refers to."""
        if self.lags is None:
            return self
        used, index = np.unique(self.lags, return_inverse=True)
        if len(used) == len(self.values[0]):
            return self
        lags = index.reshape(self.lags.shape).astype(np.int64)
        return Columns(tuple(column[used] for column in self.values), lags)

    @staticmethod
    def concat(parts: Sequence[Columns]) -> Columns:
        if len(parts) == 1:
            return parts[0]
        values = tuple(np.concatenate(columns) for columns in zip(*(p.values for p in parts), strict=True))
        windows = [part.lags for part in parts]
        if all(lags is None for lags in windows):
            return Columns(values)
        starts = np.cumsum([0, *(len(part.values[0]) for part in parts)])
        # Among windowed parts, a part without lags can only be an empty one: it adds no rows.
        shifted = [lags + start for lags, start in zip(windows, starts, strict=False) if lags is not None]
        return Columns(values, np.concatenate(shifted))

    @staticmethod
    def empty(spec: FeatureSpec) -> Columns:
        return Columns(tuple(np.empty(0, dtype_of(feature.kind)) for feature in spec.columns))


class Numbered(np.ndarray[Any, np.dtype[np.object_]]):
    """A categorical column of numbered scalars: it equals `known[numbers]`, with `numbers` (n,) int64.

    Any operation on it returns an ordinary column.
    """

    known: npt.NDArray[np.object_] | None = None
    numbers: npt.NDArray[np.int64] | None = None

    @staticmethod
    def of(known: npt.NDArray[np.object_], numbers: npt.NDArray[np.int64]) -> Numbered:
        column = known[numbers].view(Numbered)
        column.known, column.numbers = known, numbers
        return column


def dtype_of(kind: str) -> type[Any]:
    return object if kind == "categorical" else np.float64


def category(value: Any) -> str | None:
    """The canonical text of a categorical value: 200 and "200" are one category, true is "true", null is None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def to_bytes(columns: Columns, spec: FeatureSpec) -> bytes:
    """Canonical bytes: the same events give the same bytes, whichever JSON type a category was written in."""
    plain: list[Any] = []
    columns = _canonical(columns, spec)
    for feature, column in zip(spec.columns, columns.values, strict=True):
        if feature.kind == "categorical":
            plain.append([category(value) for value in column])
        else:
            plain.append(np.ascontiguousarray(column, np.float64).tobytes())
    lags = None if columns.lags is None else columns.lags.astype("<i8").tobytes()
    return msgspec.msgpack.encode([len(columns.values[0]), plain, lags])


def _canonical(columns: Columns, spec: FeatureSpec) -> Columns:
    """A copy that has each distinct row once, in the order in which the windows first refer to it: its bytes do not
    show which batches made events share rows.
    """
    if columns.lags is None:
        return columns
    columns = columns.compact()
    assert columns.lags is not None
    bits = [_bits(column, feature.kind) for feature, column in zip(spec.columns, columns.values, strict=True)]
    keys = np.ascontiguousarray(np.stack(bits, axis=1), np.int64)
    _, row, distinct = np.unique(keys.view(f"V{8 * keys.shape[1]}").ravel(), return_index=True, return_inverse=True)
    lags = distinct.reshape(-1)[columns.lags]
    _, first = np.unique(lags, return_index=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return Columns(tuple(column[row[order]] for column in columns.values), rank[lags])


def _bits(column: npt.NDArray[Any], kind: str) -> npt.NDArray[np.int64]:
    """(n,) int64 that are equal exactly where the values of a column are."""
    if kind == "categorical":
        return np.unique([category(value) or f"{value!r}\0" for value in column], return_inverse=True)[1]
    return np.ascontiguousarray(column, np.float64).view(np.int64)


def from_bytes(raw: bytes, spec: FeatureSpec) -> Columns:
    """Read the bytes of `to_bytes`. Raises ValueError if they are not columns of this spec."""
    try:
        rows, plain, lags = msgspec.msgpack.decode(raw, type=tuple[int, list[bytes | list[str | None]], bytes | None])
    except msgspec.MsgspecError as error:
        raise ValueError(f"not columns: {error}") from error
    if len(plain) != len(spec.columns):
        raise ValueError(f"{len(plain)} columns for {len(spec.columns)} of the spec")
    values = []
    for feature, column in zip(spec.columns, plain, strict=True):
        if isinstance(column, bytes) == (feature.kind == "categorical"):
            raise ValueError(f"{feature.field}: a column of another kind")
        array = np.frombuffer(column, np.float64) if isinstance(column, bytes) else objects(column)
        if len(array) != rows:
            raise ValueError(f"{feature.field}: {len(array)} values for {rows} rows")
        values.append(array)
    return Columns(tuple(values), _lags(lags, rows, spec.window) if lags is not None else None)


def _lags(raw: bytes, rows: int, window: int) -> npt.NDArray[np.int64]:
    lags = np.frombuffer(raw, "<i8").reshape(-1, window)
    if len(lags) and not (lags.min() >= 0 and lags.max() < rows):
        raise ValueError("a window that names rows which are not there")
    return lags.astype(np.int64)


def objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    """(n,) object array with one Python value per row; texts and lists stay whole."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def from_table(table: Mapping[str, Sequence[Any]], spec: FeatureSpec) -> Columns:
    """Columns from whole columns of Python values by field, as a file has them. An absent field counts as missing.

    Raises ValueError if a value is not of its feature's kind.
    """
    values: list[npt.NDArray[Any]] = []
    rows = len(next(iter(table.values()), ()))
    for feature in spec.features:
        column = table.get(feature.field, [None] * rows)
        if feature.kind == "categorical":
            values.append(objects(list(column)))
            continue
        read = _seconds if feature.kind == "cyclic" else float
        try:
            values.append(np.array([np.nan if value is None else read(value) for value in column], np.float64))
        except (TypeError, ValueError) as error:
            kind = "numeric" if feature.kind in NUMBER_KINDS else feature.kind
            raise ValueError(f"{feature.field}: not {kind}: {error}") from None
    return Columns(tuple(values))


def _seconds(value: Any) -> float:
    return milliseconds(value if isinstance(value, str) else float(value)) / 1000.0
