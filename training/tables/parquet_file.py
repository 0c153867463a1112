"""Reads Parquet files as columns of JSON values: times become ISO 8601 text, decimals become floats."""

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
    """Read at most `rows` rows; returns the columns by name, in file order. Structs become dotted paths.

    Raises ConfigError for a damaged file, an empty or duplicate column name, and values that JSON cannot represent.
    """
    try:
        with pa_parquet.ParquetFile(path) as file:
            table = _read_rows(file, rows)
        while any(types.is_struct(field.type) for field in table.schema):
            table = table.flatten()
        check_names(path, table.column_names)
        return {name: _convert_column(path, name, table.column(name)) for name in table.column_names}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None


def _read_rows(file: pa_parquet.ParquetFile, rows: int | None) -> pa.Table:
    if rows is None:
        return file.read(use_threads=False)
    batches, count = [], 0
    for batch in file.iter_batches(batch_size=min(rows, 65_536), use_threads=False):
        batches.append(batch)
        count += len(batch)
        if count >= rows:
            break
    return pa.Table.from_batches(batches, file.schema_arrow).slice(0, rows)


def _convert_column(path: Path, name: str, column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
        kind = column.type
    if types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    try:
        convert = _converter(kind)
        if types.is_timestamp(kind) or types.is_time(kind):
            column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
        values = column.to_pylist()
        return values if convert is None else [None if value is None else convert(value) for value in values]
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{path}: column {name!r}: a value of type {kind} cannot be read: {error}") from None


def _converter(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """Return the function that converts a value of an Arrow type to a JSON value; None if no conversion is needed."""
    if types.is_floating(kind):
        return lambda value: value if math.isfinite(value) else None
    if types.is_decimal(kind):
        return float
    if types.is_timestamp(kind):
        return lambda value: _iso_time(value, kind)
    if types.is_time(kind):
        return lambda value: (_EPOCH + timedelta(seconds=value / _PER_SECOND[kind.unit])).time().isoformat()
    if types.is_date(kind):
        return lambda value: value.isoformat()
    if types.is_duration(kind):
        return lambda value: value.total_seconds() if isinstance(value, timedelta) else float(value)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _decode_text
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_nested(kind) or types.is_null(kind):
        return None
    return str


def _iso_time(value: int, kind: pa.DataType) -> str:
    """Format in Python, because pyarrow needs pandas for nanoseconds and a time zone database for zones."""
    seconds, rest = divmod(value, _PER_SECOND[kind.unit])
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=rest * 1_000_000 // _PER_SECOND[kind.unit])
    return (moment.replace(tzinfo=UTC) if kind.tz else moment).isoformat()


def _decode_text(value: bytes) -> str:
    """Decode UTF-8; other bytes become hexadecimal digits."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()
