"""Reads tables of events, with or without labels, from CSV, Parquet and JSON files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.tables.csv_file import read_csv
from training.tables.json_records import FieldColumns, read_array, read_lines
from training.tables.labels import parse_labels
from training.tables.parquet_file import read_parquet
from worker.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Table:
    """n events. `columns` holds (n,) Python values by dotted path, in file order.

    `labels` (n,) bool is True for an anomaly; None if the file has no labels. A value is a str, int, finite float,
    bool, or None if missing; JSON and Parquet files may also contain lists. `notes` report oddities to the user.
    `kinds` (n,) names the kind of each anomaly, None for a normal row; None if the labels name no kinds.
    """

    columns: dict[str, list[Any]]
    labels: npt.NDArray[np.bool_] | None
    rows: int
    notes: tuple[str, ...] = ()
    kinds: list[str | None] | None = None


def read_table(path: Path, label: str | None, leave_out: tuple[str, ...] = (), rows: int | None = None) -> Table:
    """Read at most `rows` rows of a file, in the format that its extension names.

    Raises ConfigError for a missing, damaged or empty file, an unknown extension, and a missing label column.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"{path}: unknown file extension {path.suffix!r}; allowed: {', '.join(_READERS)}")
    if not path.is_file():
        raise ConfigError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        columns, notes = reader(path, rows)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    return make_table(columns, label, leave_out, path.name, notes)


def make_table(
    columns: dict[str, list[Any]],
    label: str | None,
    leave_out: tuple[str, ...] = (),
    where: str = "the sample",
    notes: tuple[str, ...] = (),
) -> Table:
    """Make a table of columns of equal length. Raises ConfigError if there are no rows or no such label column."""
    if label is not None and label not in columns:
        raise ConfigError(f"--label: {where} has no column {label!r}; it has: {', '.join(columns) or 'none'}")
    count = len(next(iter(columns.values()), ()))
    if not count:
        raise ConfigError(f"{where}: no rows{'' if columns else ' with fields'}")
    labels, kinds = parse_labels(columns[label], label) if label is not None else (None, None)
    columns = {name: values for name, values in columns.items() if name != label and name not in leave_out}
    return Table(columns, labels, count, notes, kinds)


_Contents = tuple[dict[str, list[Any]], tuple[str, ...]]
"""Columns and notes, as in `Table`."""


def _csv(path: Path, rows: int | None) -> _Contents:
    return read_csv(path, rows), ()


def _parquet(path: Path, rows: int | None) -> _Contents:
    return read_parquet(path, rows), ()


def _json_lines(path: Path, rows: int | None) -> _Contents:
    with path.open("rb") as file:
        return _finish(read_lines(file, path.name, rows))


def _json(path: Path, rows: int | None) -> _Contents:
    """Read JSON lines or one list of objects."""
    with path.open("rb") as file:
        start = file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
        file.seek(0)
        if start.startswith(b"["):
            return _finish(read_array(file.read(), path.name, rows))
        return _finish(read_lines(file, path.name, rows))


def _finish(fields: FieldColumns) -> _Contents:
    return fields.finish(), fields.notes


_READERS: dict[str, Callable[[Path, int | None], _Contents]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
}
