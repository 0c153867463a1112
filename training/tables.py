"""Labelled event tables from files: CSV, Parquet, JSON lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pa_parquet

from worker.errors import ConfigError

_TRUE = {"1", "true", "yes", "anomaly", "attack", "outlier"}


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` by name in file order, each (n,) as Python values; `labels` (n,) bool, True for an anomaly, or None."""

    columns: dict[str, list[Any]]
    labels: npt.NDArray[np.bool_] | None
    rows: int


def read_table(path: Path, label: str | None, leave_out: tuple[str, ...] = ()) -> Table:
    """Read a file by its ending; raises ConfigError for a missing file, an unknown ending or a missing label column."""
    table = _read(path)
    if label is not None and label not in table.column_names:
        raise ConfigError(f"--label: {path.name} has no column {label!r}; it has: {', '.join(table.column_names)}")
    if not table.num_rows:
        raise ConfigError(f"{path}: no rows")
    labels = _labels(table.column(label).to_pylist()) if label is not None else None
    names = [name for name in table.column_names if name != label and name not in leave_out]
    return Table({name: table.column(name).to_pylist() for name in names}, labels, table.num_rows)


def _read(path: Path) -> pa.Table:
    readers = {".csv": pa_csv.read_csv, ".parquet": pa_parquet.read_table, ".jsonl": pa_json.read_json,
               ".ndjson": pa_json.read_json, ".json": pa_json.read_json}  # fmt: skip
    if path.suffix not in readers:
        raise ConfigError(f"{path}: unknown kind of file {path.suffix!r}; allowed: {', '.join(readers)}")
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        return readers[path.suffix](path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _labels(values: list[Any]) -> npt.NDArray[np.bool_]:
    def anomalous(value: Any) -> bool:
        if isinstance(value, bool | int | float):
            return value != 0
        return str(value).strip().lower() in _TRUE

    return np.array([value is not None and anomalous(value) for value in values], np.bool_)
