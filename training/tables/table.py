"""Labelled event tables from files: CSV, Parquet, JSON lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.tables.csv_file import read_csv
from training.tables.json_records import FieldColumns, read_array, read_lines
from training.tables.parquet_file import read_parquet
from worker.errors import ConfigError

_TRUE = {"1", "true", "yes", "anomaly", "attack", "outlier"}


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` by dotted path in file order, each (n,) as Python values; `labels` (n,) bool, True for an anomaly, or
    None.

    A value is a str, int, finite float, bool or None where it is missing; from JSON and Parquet lists may come too.
    `notes` are things about the file that its reader should know.
    """

    columns: dict[str, list[Any]]
    labels: npt.NDArray[np.bool_] | None
    rows: int
    notes: tuple[str, ...] = ()


def read_table(path: Path, label: str | None, leave_out: tuple[str, ...] = (), rows: int | None = None) -> Table:
    """Read a file by its ending, at most `rows` rows of it.

    Raises ConfigError for a missing, damaged or empty file, an unknown ending or a missing label column.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"{path}: unknown kind of file {path.suffix!r}; allowed: {', '.join(_READERS)}")
    if not path.is_file():
        raise ConfigError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        columns, notes = reader(path, rows)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    return table_of(columns, label, leave_out, path.name, notes)


def table_of(
    columns: dict[str, list[Any]],
    label: str | None,
    leave_out: tuple[str, ...] = (),
    where: str = "the sample",
    notes: tuple[str, ...] = (),
) -> Table:
    """A table out of columns of one length; raises ConfigError without rows or without the label column."""
    if label is not None and label not in columns:
        raise ConfigError(f"--label: {where} has no column {label!r}; it has: {', '.join(columns) or 'none'}")
    count = len(next(iter(columns.values()), ()))
    if not count:
        raise ConfigError(f"{where}: no rows{'' if columns else ' with fields'}")
    labels = _labels(columns[label]) if label is not None else None
    kept = {name: values for name, values in columns.items() if name != label and name not in leave_out}
    return Table(kept, labels, count, notes)


_Read = tuple[dict[str, list[Any]], tuple[str, ...]]


def _csv(path: Path, rows: int | None) -> _Read:
    return read_csv(path, rows), ()


def _parquet(path: Path, rows: int | None) -> _Read:
    return read_parquet(path, rows), ()


def _json_lines(path: Path, rows: int | None) -> _Read:
    with path.open("rb") as opened:
        return _collected(read_lines(opened, path.name, rows))


def _json(path: Path, rows: int | None) -> _Read:
    """JSON lines too, or one list of objects."""
    with path.open("rb") as opened:
        start = opened.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
        opened.seek(0)
        if start.startswith(b"["):
            return _collected(read_array(opened.read(), path.name, rows))
        return _collected(read_lines(opened, path.name, rows))


def _collected(found: FieldColumns) -> _Read:
    return found.finish(), found.notes


_READERS: dict[str, Callable[[Path, int | None], _Read]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
}


def _labels(values: list[Any]) -> npt.NDArray[np.bool_]:
    def anomalous(value: Any) -> bool:
        if isinstance(value, bool | int | float):
            return value != 0
        return str(value).strip().lower() in _TRUE

    return np.array([value is not None and anomalous(value) for value in values], np.bool_)
