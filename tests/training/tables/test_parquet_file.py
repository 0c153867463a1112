"""Parquet files: every type becomes a JSON value, and a damaged file is reported."""

from __future__ import annotations

import datetime
import decimal
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from training.tables.table import read_table
from worker.errors import ConfigError


def parquet(folder: Path, table: pa.Table) -> dict[str, list[Any]]:
    path = folder / "x.parquet"
    pa_parquet.write_table(table, path)
    return read_table(path, None).columns


def test_parquet_types_become_json_types(tmp_path: Path) -> None:
    noon = datetime.datetime(2026, 1, 1, 12)
    columns = parquet(
        tmp_path,
        pa.table(
            {
                "ns": pa.array([noon, None], pa.timestamp("ns")),
                "zoned": pa.array([noon, None], pa.timestamp("ms", "Asia/Tokyo")),
                "before": pa.array([-1, None], pa.timestamp("us")),
                "day": pa.array([datetime.date(2026, 1, 1), None]),
                "clock": pa.array([datetime.time(1, 2, 3), None]),
                "took": pa.array([datetime.timedelta(seconds=1.5), None]),
                "price": pa.array([decimal.Decimal("12.50"), None]),
                "real": pa.array([math.nan, math.inf]),
                "raw": pa.array([b"text", b"\xff\x00"]),
                "level": pa.array(["a", None]).dictionary_encode(),
                "big": pa.array([2**64 - 1, None], pa.uint64()),
                "flag": pa.array([True, None]),
                "nothing": pa.nulls(2),
                "src": pa.array([{"ip": "::1", "geo": {"city": "x"}}, None]),
                "list": pa.array([[1, 2], None]),
            }
        ),
    )
    assert columns == {
        "ns": ["2026-01-01T12:00:00", None],
        "zoned": ["2026-01-01T12:00:00+00:00", None],
        "before": ["1969-12-31T23:59:59.999999", None],
        "day": ["2026-01-01", None],
        "clock": ["01:02:03", None],
        "took": [1.5, None],
        "price": [12.5, None],
        "real": [None, None],
        "raw": ["text", "ff00"],
        "level": ["a", None],
        "big": [2**64 - 1, None],
        "flag": [True, None],
        "nothing": [None, None],
        "src.ip": ["::1", None],
        "src.geo.city": ["x", None],
        "list": [[1, 2], None],
    }


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), "columns 1 and 2 are both named 'a'"),
        (pa.table([pa.array([{"b": 1}]), pa.array([2])], names=["a", "a.b"]), "are both named 'a.b'"),
        (pa.table([pa.array([1])], names=[" "]), "column 1 has no name"),
        (pa.table({"a": pa.array([], pa.int64())}), "no rows"),
        (pa.table({"a": pa.array([2**62], pa.timestamp("us"))}), "column 'a': a value of type timestamp[us]"),
    ],
)
def test_an_invalid_parquet_file_is_reported_with_the_column(tmp_path: Path, table: pa.Table, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parquet(tmp_path, table)
    assert message in str(caught.value)


def test_a_parquet_file_cut_at_any_byte_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pa_parquet.write_table(pa.table({"a": [1, 2], "s": ["x", None]}), path)
    good = path.read_bytes()
    for cut in range(0, len(good) - 1, 7):
        path.write_bytes(good[:cut])
        with pytest.raises(ConfigError, match=r"x\.parquet: "):
            read_table(path, None)
