"""Parquet files as columns of the values that JSON has: times as ISO 8601 text, decimals as floats."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pa_parquet
from pyarrow import types

from training.tables.csv_file import check_names
from worker.errors import ConfigError

_EPOCH = datetime(1970, 1, 1)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def read_parquet(path: Path, rows: int | None) -> dict[str, list[Any]]:
    """Columns by name, in order, of at most `rows` rows; structs become dotted paths.

    Raises ConfigError for a damaged file, a name that is empty or there twice, and values that have no JSON.
    """
    try:
        with pa_parquet.ParquetFile(path) as opened:
            table = _table(opened, rows)
        while any(types.is_struct(field.type) for field in table.schema):
            table = table.flatten()
        check_names(path, table.column_names)
        return {name: _values(path, name, table.column(name)) for name in table.column_names}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None


def _table(opened: pa_parquet.ParquetFile, rows: int | None) -> pa.Table:
    if rows is None:
        return opened.read(use_threads=False)
    batches, count = [], 0
    for batch in opened.iter_batches(batch_size=min(rows, 65_536), use_threads=False):
        batches.append(batch)
        count += len(batch)
        if count >= rows:
            break
    return pa.Table.from_batches(batches, opened.schema_arrow).slice(0, rows)


def _values(path: Path, name: str, column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
        kind = column.type
    if types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    try:
        plain = _reader(kind)
        if types.is_timestamp(kind) or types.is_time(kind):
            column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
        values = column.to_pylist()
        return values if plain is None else [None if value is None else plain(value) for value in values]
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{path}: column {name!r}: a value of type {kind} that cannot be read: {error}") from None


def _reader(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """How a value of an arrow type becomes a value of JSON; None where it is one."""
    if types.is_floating(kind):
        return lambda value: value if math.isfinite(value) else None
    if types.is_decimal(kind):
        return float
    if types.is_timestamp(kind):
        return lambda value: _moment(value, kind)
    if types.is_time(kind):
        return lambda value: (_EPOCH + timedelta(seconds=value / _PER_SECOND[kind.unit])).time().isoformat()
    if types.is_date(kind):
        return lambda value: value.isoformat()
    if types.is_duration(kind):
        return lambda value: value.total_seconds() if isinstance(value, timedelta) else float(value)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _text
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_nested(kind) or types.is_null(kind):
        return None
    return str


def _moment(value: int, kind: pa.DataType) -> str:
    """Counted in Python: pyarrow needs pandas for nanoseconds and a time zone database for zones."""
    whole, rest = divmod(value, _PER_SECOND[kind.unit])
    moment = _EPOCH + timedelta(seconds=whole, microseconds=rest * 1_000_000 // _PER_SECOND[kind.unit])
    return (moment.replace(tzinfo=UTC) if kind.tz else moment).isoformat()


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()
