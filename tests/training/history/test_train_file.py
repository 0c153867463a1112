"""`offbeat train --from`: the first model from a file, on a real Redis."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

import training.history.train_command
from tests.scenarios.stream import FEATURES, events
from tests.training.history.case import Case, columns, dotted, few
from training.learn.versioning import Trained, train_version
from worker.config.settings import Settings
from worker.core.events.columns import Columns


def test_a_file_gives_a_champion_that_a_worker_loads_and_that_flags_anomalies(case: Case) -> None:
    summary = case.train(file=case.file(events(2_000, every=2_001)))
    model = case.serving()
    assert model is not None
    assert (model.version, model.versions.bundle, model.versions.threshold) == (1, summary.digest, summary.threshold)
    assert (summary.version, summary.serves, summary.served) == (1, 1, None)
    assert (summary.rows_read, summary.rejected, summary.anomalous) == (2_000, 0, 0)
    assert summary.rows_fitted + summary.rows_calibrated == 2_000
    assert (summary.alert_rate, summary.cut) == (0.01, model.threshold.cut)
    scored = events(1_000, every=10, seed=5)
    flagged = model.threshold.flag(
        model.detector.errors(model.detector.encoder.transform(columns(scored, case.settings)))
    )
    anomalies = np.arange(1_000) % 10 == 9
    assert flagged[anomalies].all()
    assert flagged[~anomalies].mean() < 0.05


def test_csv_parquet_and_json_lines_of_the_same_rows_give_the_same_weights(case: Case, redis_url: str) -> None:
    rows = few()
    flat = dotted(rows)
    with (case.folder / "events.csv").open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)
    pa_parquet.write_table(pa.Table.from_pylist(rows), case.folder / "events.parquet")
    case.file(rows)
    weights = set()
    for ending in ("jsonl", "csv", "parquet"):
        other = Case(case.folder, f"{case.stream}-{ending}", redis_url)
        other.train(file=case.folder / f"events.{ending}")
        weights.add(other.weights(1))
    assert len(weights) == 1


def test_rows_are_read_in_the_order_of_their_event_times(case: Case, redis_url: str) -> None:
    rows = [{**row, "ts": f"2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z"} for i, row in enumerate(few())]
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]

    def weights(name: str, rows: list[dict[str, Any]], time: str) -> str:
        other = Case(case.folder, f"{case.stream}-{name}", redis_url)
        other.configure(event={"entity": "host", "time": time})
        other.train(file=case.file(rows, f"{name}.jsonl"))
        return other.weights(1)

    assert weights("sorted", rows, "ts") == weights("shuffled", shuffled, "ts")
    assert weights("unsorted", shuffled, "not-in-the-file") != weights("again", rows, "not-in-the-file")


def test_a_label_is_no_feature_and_the_rows_that_it_marks_are_left_out(case: Case, redis_url: str) -> None:
    rows = events(400, every=10)
    labelled = [{**row, "bad": "yes" if row["duration"] == 60.0 else "no"} for row in rows]
    summary = case.train(file=case.file(labelled), label="bad")
    assert (summary.rows_read, summary.anomalous) == (400, 40)
    assert summary.rows_fitted + summary.rows_calibrated == 360
    clean = Case(case.folder, f"{case.stream}-clean", redis_url)
    clean.train(file=clean.file([row for row in rows if row["duration"] != 60.0], "clean.jsonl"))
    assert case.weights(1) == clean.weights(1)


def test_rows_that_the_worker_would_reject_are_not_trained_on(case: Case) -> None:
    strict = [{**feature, "missing": "reject"} if feature["field"] == "bytes" else feature for feature in FEATURES]
    case.configure(features=strict)
    rows = [{**row, "bytes": None} if i % 10 == 0 else row for i, row in enumerate(few())]
    summary = case.train(file=case.file(rows))
    assert (summary.rows_read, summary.rejected, summary.reasons) == (300, 30, {"bytes: missing": 30})
    assert summary.rows_fitted + summary.rows_calibrated == 270


def test_a_missing_column_is_named_with_the_columns_of_the_file(case: Case) -> None:
    rows = [{"id": row["id"], "duration": row["duration"], "proto": row["proto"]} for row in few()]
    text = case.refusal(file=case.file(rows))
    assert text == "features.0: events.jsonl has no column 'bytes'; it has: id, duration, proto.name"
    assert "--label: events.jsonl has no column 'bad'" in case.refusal(file=case.file(few()), label="bad")
    text = case.refusal(file=case.file(few()), label="duration")
    assert text == "features.1: 'duration' is the --label column, which is never a feature"
    assert "only 127 events" in case.refusal(file=case.file(few(127)))
    case.configure(features=[{"field": "proto.name", "kind": "numeric"}])
    assert "proto.name: not numeric" in case.refusal(file=case.file(few()))
    assert case.registry.next_version() == 1  # no error has used up a version number


def test_a_window_is_attached_by_entity(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Columns] = []

    def capture(settings: Settings, rows: Columns, **named: Any) -> Trained:
        seen.append(rows)
        return train_version(settings, rows, **named)

    monkeypatch.setattr(training.history.train_command, "train_version", capture)
    case.configure(model={"window": 2})
    case.train(file=case.file(few()))
    lags = seen[0].lags
    assert lags is not None
    assert lags[100].tolist() == [100, 93]  # seven hosts take turns
    model = case.serving()
    assert model is not None
    assert model.detector.encoder.spec.window == 2
    nobody = [{k: v for k, v in row.items() if k != "host"} for row in few()]
    text = case.refusal(file=case.file(nobody), replace=True)
    assert text == "event.entity: events.jsonl has no column 'host'; it has: id, bytes, duration, proto.name"
    case.configure(model={"window": 2}, event={})
    wanted = "required for rate, delta and unchanged features, and for model.window above 1"
    assert wanted in case.refusal(file=case.file(few()))
