"""Whatever the columns are, an evaluation ends with finite figures or a clear error."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from click.testing import CliRunner

from training.evaluate.cli import evaluate
from worker.errors import ConfigError

N = 400
RNG = np.random.default_rng(0)
BASE = RNG.normal(size=N)
COLUMNS: dict[str, list[Any]] = {
    "constant": [3.0] * N,
    "constant text": ["same"] * N,
    "late to wake": [0.0] * (N // 2) + RNG.normal(size=N // 2).tolist(),
    "copy": BASE.tolist(),
    "twice": (2.0 * BASE).tolist(),
    "huge": [2**53 + 2 * i % 7 for i in range(N)],
    "heavy": RNG.standard_cauchy(N).tolist(),
    "lognormal": np.exp(4.0 * RNG.normal(size=N)).tolist(),
    "boolean": [bool(i % 3) for i in range(N)],
    "sometimes": [None if i % 4 == 0 else float(i % 11) for i in range(N)],
    "gone": [None] * N,
    "infinite": [math.inf if i % 50 == 0 else -math.inf if i % 50 == 1 else float(i % 5) for i in range(N)],
    "not a number": [math.nan if i % 10 == 0 else float(i % 5) for i in range(N)],
    "tiny": (1e-300 * BASE).tolist(),
    "levels": [f"u{i % 397}" for i in range(N)],
}


def file_of(folder: Path, columns: dict[str, list[Any]]) -> Path:
    path = folder / "events.parquet"
    label = [int(i % 40 == 39) for i in range(len(next(iter(columns.values()))))]
    pa_parquet.write_table(pa.table({**columns, "label": label}), path)
    return path


def evaluated(path: Path, *options: str) -> dict[str, Any]:
    result = CliRunner(catch_exceptions=False).invoke(evaluate, [str(path), "--label", "label", "--json", *options])
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    assert all(math.isfinite(value) for value in document.values() if isinstance(value, float))
    assert document["scored"] == document["events"] - document["warmup"]
    return document


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_each_kind_of_column_beside_an_ordinary_one(tmp_path: Path, name: str) -> None:
    document = evaluated(file_of(tmp_path, {"base": BASE.tolist(), name: COLUMNS[name]}))
    assert document["features"] == (1 if name == "gone" else 2)


def test_all_of_them_at_once_with_a_window(tmp_path: Path) -> None:
    assert evaluated(file_of(tmp_path, COLUMNS), "--window", "3")["features"] == len(COLUMNS) - 1


def test_a_file_with_nothing_to_learn_from_says_so(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"gone": COLUMNS["gone"]})
    with pytest.raises(ConfigError, match="no column can be a feature"):
        CliRunner(catch_exceptions=False).invoke(evaluate, [str(path), "--label", "label"])


def test_one_feature_and_five_hundred(tmp_path: Path) -> None:
    assert evaluated(file_of(tmp_path, {"only": BASE.tolist()}))["features"] == 1
    wide = {f"f{i}": RNG.normal(size=150).tolist() for i in range(500)}
    assert evaluated(file_of(tmp_path, wide))["features"] == 500


def test_a_categorical_of_a_hundred_thousand_levels(tmp_path: Path) -> None:
    """Each level occurs twice, the second time long after the first."""
    rows = 200_000
    names = [f"user-{i % 100_000}" for i in range(rows)]
    names[:4_000] = [f"user-{i % 1_000}" for i in range(4_000)]
    columns = {"user": names, "x": RNG.normal(size=rows).tolist()}
    config = tmp_path / "c.yaml"
    config.write_text(
        "stream: s\nfeatures:\n  - {field: user, kind: categorical}\n  - {field: x, kind: numeric}\n"
        "fine_tune: {events: 100000}\n"
    )
    document = evaluated(file_of(tmp_path, columns), "-c", str(config), "--warmup", "100000")
    assert document["features"] == 2


def test_mixed_types_in_a_column(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    values = ["a", 1, 2.5, True, None]
    path.write_text(
        "".join(json.dumps({"x": i % 7, "mixed": values[i % 5], "label": i % 30 == 0}) + "\n" for i in range(300))
    )
    assert evaluated(path)["features"] == 2


def test_integers_that_no_float_holds_end_in_a_result_or_an_error_that_names_them(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for power in (300, 400):
        lines = ({"x": i % 7, "beyond": 10**power * (1 + i % 3), "label": i % 30 == 0} for i in range(300))
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        try:
            assert evaluated(path)["features"] in (1, 2)
        except ConfigError as error:
            assert "beyond" in str(error)  # noqa: PT017 - a result or an error, either will do


def test_too_few_rows_are_named(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"x": [1.0] * 20})
    with pytest.raises(ConfigError, match="a warm-up of 32 rows"):
        CliRunner(catch_exceptions=False).invoke(evaluate, [str(path), "--label", "label"])
