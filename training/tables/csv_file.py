"""Reads CSV files as columns of Python values. A column's type follows from all of its values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from worker.errors import ConfigError

_BLOCK_BYTES = 16 << 20
_DELIMITERS = (",", ";", "\t", "|")
_INTEGER = r"^[+-]?\d+$"
_NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
_STARTS_WITH_DATE = r"^\d{4}-\d\d-\d\d"
_MISSING = pa.array(
    [
        "",
        "NA",
        "N/A",
        "n/a",
        "#N/A",
        "NULL",
        "null",
        "None",
        "nan",
        "NaN",
        "-nan",
        "-NaN",
        "inf",
        "-inf",
        "Inf",
        "-Inf",
        "Infinity",
        "-Infinity",
    ]
)
"""How files write a missing or infinite value in a column of numbers, booleans or times. In a text column only the
empty text is missing.
"""
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def read_csv(path: Path, rows: int | None) -> dict[str, list[Any]]:
    """Read at most `rows` rows; returns the columns by name, in file order.

    A column whose values are all integers, floats, booleans or ISO 8601 times is read as such, any other as text.
    Raises ConfigError for an empty file, an empty or duplicate column name, a row with too few or too many values, and
    text that is not UTF-8.
    """
    with path.open("rb") as file:
        start = file.read(1 << 16)
    if not start.removeprefix(b"\xef\xbb\xbf").strip():
        raise ConfigError(f"{path}: empty")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{path}: UTF-16; allowed: UTF-8")
    invalid_rows: list[pa_csv.InvalidRow] = []
    try:
        table = _read_as_text(path, _parse_options(start, invalid_rows), rows)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {_reason(error, invalid_rows)}") from None
    return {name: _convert(table.column(name)) for name in table.column_names}


def check_names(path: Path, names: list[str]) -> None:
    """Raise ConfigError for a column without a name and for a duplicate name."""
    for place, name in enumerate(names, 1):
        if not name.strip():
            raise ConfigError(f"{path}: column {place} has no name; every column needs one")
        if names.index(name) != place - 1:
            first = names.index(name) + 1
            raise ConfigError(f"{path}: columns {first} and {place} are both named {name!r}; names must be unique")


def _parse_options(start: bytes, invalid_rows: list[pa_csv.InvalidRow]) -> pa_csv.ParseOptions:
    header = next(line for line in start.decode("utf-8", "replace").splitlines() if line.strip())
    delimiter = "," if "," in header else max(_DELIMITERS, key=header.count)

    def record(row: pa_csv.InvalidRow) -> str:
        invalid_rows.append(row)
        return "error"

    return pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=record)


def _read_as_text(path: Path, parse_options: pa_csv.ParseOptions, rows: int | None) -> pa.Table:
    """Read every column as text, because pyarrow infers types from the first block and fails if a later one differs."""
    read_options = pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
    with pa_csv.open_csv(path, read_options=read_options, parse_options=parse_options) as reader:
        names = reader.schema.names
    check_names(path, names)
    as_text = pa_csv.ConvertOptions(column_types={name: pa.string() for name in names})
    batches, count = [], 0
    with pa_csv.open_csv(
        path, read_options=read_options, parse_options=parse_options, convert_options=as_text
    ) as reader:
        for batch in reader:
            batches.append(batch)
            count += len(batch)
            if rows is not None and count >= rows:
                break
        return pa.Table.from_batches(batches, reader.schema).slice(0, rows)


def _reason(error: Exception, invalid_rows: list[pa_csv.InvalidRow]) -> str:
    if invalid_rows:
        row = invalid_rows[0]
        return f"row {row.number}: {row.actual_columns} columns, but the header has {row.expected_columns}"
    if "UTF8" in str(error) or isinstance(error, UnicodeDecodeError):
        return "not UTF-8; allowed: UTF-8"
    return " ".join(str(error).split())


def _convert(texts: pa.ChunkedArray) -> list[Any]:
    trimmed = pc.utf8_trim_whitespace(texts)
    trimmed = pc.if_else(pc.is_in(trimmed, _MISSING), pa.scalar(None, pa.string()), trimmed)
    if trimmed.null_count == len(trimmed):
        return [None] * len(trimmed)
    if _all(pc.match_substring_regex(trimmed, _INTEGER)):
        return [_integer(value) for value in trimmed.to_pylist()]
    if _all(pc.match_substring_regex(trimmed, _NUMBER)):
        return [_number(value) for value in trimmed.to_pylist()]
    if _all(pc.if_else(pc.is_valid(trimmed), pc.is_in(trimmed, pa.array(list(_BOOLEANS))), True)):
        return [None if value is None else _BOOLEANS[value] for value in trimmed.to_pylist()]
    if _all(pc.match_substring_regex(trimmed, _STARTS_WITH_DATE)):
        values: list[Any] = trimmed.to_pylist()
        return values
    return [value or None for value in texts.to_pylist()]


def _all(matches: pa.ChunkedArray) -> bool:
    """Return whether all values match; nulls are ignored."""
    return bool(pc.all(matches, skip_nulls=True).as_py())


def _integer(text: str | None) -> int | None:
    """Parse an integer; None if it has more than 300 digits, because it may not fit a float64."""
    return None if text is None or len(text) > 300 else int(text)


def _number(text: str | None) -> float | None:
    value = float("nan") if text is None else float(text)
    return value if abs(value) < float("inf") else None
