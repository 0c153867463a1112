"""Any file gives either a table of plain values or one ConfigError that says where it is invalid."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.demo.run import KDD
from training.tables.json_records import build_event
from training.tables.table import Table, read_table
from worker.errors import ConfigError


def read(folder: Path, name: str, content: bytes | str, label: str | None = None, rows: int | None = None) -> Table:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, label, rows=rows)


# CSV


def test_csv_columns_are_typed_by_all_of_their_values(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        "x.csv",
        "whole,real,flag,text,when,mixed,gone,big,huge\n"
        "1, 2.5,true,a,2026-01-01T00:00:00Z,1,,9007199254740993,18446744073709551616\n"
        ",NaN,,,,x,NA,-9007199254740993,\n"
        "+7,1e3,FALSE,NA,2026-01-02,2.5,,0,1\n",
    )
    assert table.columns == {
        "whole": [1, None, 7],
        "real": [2.5, None, 1000.0],
        "flag": [True, None, False],
        "text": ["a", None, "NA"],  # in a text column NA may mean Namibia
        "when": ["2026-01-01T00:00:00Z", None, "2026-01-02"],
        "mixed": ["1", "x", "2.5"],
        "gone": [None, None, None],
        "big": [2**53 + 1, -(2**53) - 1, 0],
        "huge": [2**64, None, 1],
    }
    assert table.labels is None and table.rows == 3


def test_a_text_far_below_numbers_makes_the_column_text(tmp_path: Path) -> None:
    padding = "x" * 90  # 20 MB, more than pyarrow reads at a time
    lines = ["n,m,p"] + [f"{i},{i},{padding}" for i in range(200_000)] + ["oops,1,"]
    table = read(tmp_path, "x.csv", "\n".join(lines))
    assert table.columns["n"][:2] == ["0", "1"] and table.columns["n"][-1] == "oops"
    assert table.columns["m"] == [*range(200_000), 1]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_delimiters_byte_order_mark_quotes_and_line_breaks_within_quotes(tmp_path: Path, delimiter: str) -> None:
    text = '\ufeffa,b\r\n1,"two\nlines, ""quoted"""\r\n'.replace(",", delimiter)
    assert read(tmp_path, "x.csv", text).columns == {"a": [1], "b": [f'two\nlines{delimiter} "quoted"']}


def test_text_that_only_resembles_a_number_stays_text(tmp_path: Path) -> None:
    assert read(tmp_path, "x.csv", "a,b,c\n0x1f,1_000,1e999\n1,1,2.5\n").columns == {
        "a": ["0x1f", "1"],
        "b": ["1_000", "1"],
        "c": [None, 2.5],
    }


def test_500_columns(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(500)]
    table = read(tmp_path, "x.csv", ",".join(names) + "\n" + ",".join(map(str, range(500))) + "\n")
    assert list(table.columns) == names and table.columns["c499"] == [499]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n", "empty"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1,2\n3\n", "row 3: 1 columns, but the header has 2"),
        (b"a,b\n1,2\n3,4,5\n", "row 3: 3 columns, but the header has 2"),
        (b"a,b,a\n1,2,3\n", "columns 1 and 3 are both named 'a'"),
        (b"a,,c\n1,2,3\n", "column 2 has no name"),
        (b"a\n\xe9\n", "not UTF-8"),
        (b"\xe9\n1\n", "not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16; allowed: UTF-8"),
    ],
)
def test_an_invalid_csv_file_is_reported_with_the_place(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.csv: ") as caught:
        read(tmp_path, "x.csv", content)
    assert message in str(caught.value)


# JSON lines


def test_json_lines_flatten_and_may_differ_from_line_to_line(tmp_path: Path) -> None:
    lines = [
        '\ufeff{"a": 1, "o": {"x": {"y": true}}, "l": [1]}',
        "",
        '{"a": "one", "o": {"x": {}}, "n": NaN, "i": -Infinity, "e": 1e999}',
        '{"a": null, "o": {"z": ""}, "n": 9007199254740993, "b": 1' + "0" * 400 + "}",
    ]
    assert read(tmp_path, "x.jsonl", "\n".join(lines)).columns == {
        "a": [1, "one", None],
        "o.x.y": [True, None, None],
        "l": [[1], None, None],
        "n": [None, None, 2**53 + 1],
        "i": [None, None, None],
        "e": [None, None, None],
        "o.z": [None, None, ""],
        "b": [None, None, None],  # too large for a float64
    }


def test_json_keys_that_no_path_can_name_are_left_out_and_noted(tmp_path: Path) -> None:
    table = read(tmp_path, "x.ndjson", '{"a.b": 1, "": 2, "o": {"c.d": 3, "e": 4}}\n')
    assert table.columns == {"o.e": [4]}
    assert [note.split(" is left out")[0] for note in table.notes] == ["'a.b'", "''", "'o.c.d'"]


def test_a_json_document_may_be_one_list(tmp_path: Path) -> None:
    assert read(tmp_path, "x.json", ' [{"a": 1}, {"a": NaN, "b": "x"}]').columns == {"a": [1, None], "b": [None, "x"]}
    with pytest.raises(ConfigError, match="item 2: not a JSON object but a number"):
        read(tmp_path, "x.json", '[{"a": 1}, 2]')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no rows"),
        (b"{}\n{}\n", "no rows with fields"),
        (b'{"a": 1}\n\n{"a": \n', "line 3: not JSON"),
        (b'{"a": 1}\n[1]\n', "line 2: not a JSON object but a list"),
        (b'{"a": 1}\nnull\n', "line 2: not a JSON object but null"),
        (b'{"a": "\xe9"}\n', "line 1: not UTF-8"),
        (b'{"a": "\\ud800"}\n', "line 1: not JSON"),
        (b'{"a": ' + b"[" * 100_000, "line 1: not JSON"),
        (json.dumps({str(i): 1 for i in range(5_001)}).encode(), "line 1: more than 5000 fields"),
    ],
)
def test_an_invalid_json_line_is_reported_by_number(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.jsonl: ") as caught:
        read(tmp_path, "x.jsonl", content)
    assert message in str(caught.value)


# All formats


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([".csv", ".jsonl", ".json", ".parquet"]),
    st.one_of(
        st.binary(max_size=80),
        st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.text('abc,;"\n\r\t 019.-+eE{}[]:truefalsnl', max_size=80).map(str.encode),
    ),
)
def test_any_bytes_end_as_a_table_or_as_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        table = read(folder, f"any{suffix}", content)
    except ConfigError:
        return
    assert table.rows > 0
    assert all(len(column) == table.rows for column in table.columns.values())
    values = [value for column in table.columns.values() for value in column]
    assert all(isinstance(value, str | int | float | bool | list | None) for value in values)
    assert all(math.isfinite(value) for value in values if isinstance(value, int | float))


def test_labels_are_parsed_and_are_not_a_column(tmp_path: Path) -> None:
    labels = ["attack", "Normal", " Yes ", "0", "1", "true", "", "x"]
    table = read(tmp_path, "x.csv", "a,y\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels)), "y")
    assert table.labels is not None
    assert table.labels.tolist() == [True, False, True, False, True, True, False, False]
    assert list(table.columns) == ["a"]
    numbers = read(tmp_path, "x.jsonl", '{"a": 1, "y": 2}\n{"y": 0}\n{"y": null}\n{"y": true}\n', "y")
    assert numbers.labels is not None and numbers.labels.tolist() == [True, False, False, True]
    one_class = read(tmp_path, "x.csv", "a,y\n1,0\n2,0\n", "y")
    assert one_class.labels is not None and not one_class.labels.any()


def test_a_missing_label_is_reported_with_the_existing_columns(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--label: x\.csv has no column 'z'; it has: a, b"):
        read(tmp_path, "x.csv", "a,b\n1,2\n", "z")


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.json", "x.parquet"])
def test_no_more_rows_are_read_than_requested(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text("a\n" + "".join(f"{i}\n" for i in range(100)))
    elif name.endswith("parquet"):
        pa_parquet.write_table(pa.table({"a": list(range(100))}), path)
    else:
        # The broken line after the requested rows must not be read.
        path.write_text("".join(f'{{"a": {i}}}\n' for i in range(7)) + "broken")
    assert read_table(path, None, rows=7).columns == {"a": [0, 1, 2, 3, 4, 5, 6]}


def test_paths_that_cannot_be_read_have_distinct_errors(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match="not a file"):
        read_table(tmp_path / "folder.csv", None)
    with pytest.raises(ConfigError, match="no such file"):
        read_table(tmp_path / "nowhere.csv", None)
    with pytest.raises(ConfigError, match=r"unknown file extension '\.txt'; allowed: \.csv, \.parquet"):
        read_table(tmp_path / "x.txt", None)
    assert read(tmp_path, "UPPER.CSV", "a\n1\n").columns == {"a": [1]}


def test_the_demos_data_is_read() -> None:
    table = read_table(KDD, "label", ("attack",))
    assert table.rows == 99_241 and len(table.columns) == 41 and not table.notes
    assert table.labels is not None and table.labels.dtype == np.bool_
    assert round(float(table.labels.mean()), 3) == 0.020


def test_a_row_becomes_the_event_that_its_paths_describe() -> None:
    assert build_event(["a.b", "a.c.d", "e", "f"], [1, "x", None, False]) == {
        "a": {"b": 1, "c": {"d": "x"}},
        "f": False,
    }
    assert build_event(["a", "a.b"], [1, 2]) == {"a": 1}
