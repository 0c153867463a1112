"""`offbeat evaluate`: its JSON document, its HTML page, and explanations that name the changed feature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from click.testing import CliRunner
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.core.examples import SPEC, rows
from training.evaluate.cli import evaluate
from training.evaluate.evaluation import Options, run
from training.evaluate.ranking_metrics import ranking
from training.learn.fit import fit
from worker.errors import ConfigError

KEYS = {
    "roc_auc",
    "pr_auc",
    "best_f1",
    "recall_at_1pct_fpr",
    "events",
    "scored",
    "events_per_second",
    "alert_rate_target",
    "alert_rate_observed",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of the anomalies take b from another row, the other half have an extreme value."""
    columns = rows(1_200)
    labels = np.arange(1_200) % 40 == 39
    a, b, c, d, _ = columns.values
    b[labels] = np.roll(b[labels], 1)
    a[np.arange(1_200) % 80 == 79] = 40.0
    found = tmp_path_factory.mktemp("evaluate") / "events.parquet"
    table = {"a": a, "b": b, "c": c.tolist(), "d": d == 1.0, "attack": np.where(labels, "yes", "no"), "label": labels}
    pa_parquet.write_table(pa.table(table), found)
    return found


def document(path: Path, *options: str) -> dict[str, Any]:
    result = CliRunner(catch_exceptions=False).invoke(evaluate, [str(path), "--label", "label", "--json", *options])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_json_is_one_document_with_the_promised_keys(path: Path) -> None:
    found = document(path)
    assert found.keys() >= KEYS
    assert found["events"] == 1_200
    assert found["scored"] == 1_200 - found["warmup"] == 1_140
    assert found["alert_rate_target"] == 0.001
    assert found["roc_auc"] > 0.75, "half of the anomalies are obvious, and the others rank no worse than chance"
    assert found["features"] == 4, "`attack` leaks the label and is no feature"


def test_options_override_the_configuration(path: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("stream: s\nfeatures: [{field: a, kind: numeric}]\nthreshold: {alert_rate: 0.05}\n")
    found = document(path, "-c", str(config), "--kind", "linear", "--window", "2", "--warmup", "300", "--seed", "7")
    assert [found[k] for k in ("features", "kind", "window", "warmup", "seed", "alert_rate_target")] == [
        1,
        "linear",
        2,
        300,
        7,
        0.05,
    ]
    assert document(path, "-c", str(config), "--alert-rate", "0.02")["alert_rate_target"] == 0.02


def test_without_labels_what_needs_them_is_null(path: Path) -> None:
    result = CliRunner(catch_exceptions=False).invoke(evaluate, [str(path), "--json", "--ignore", "label"])
    found = json.loads(result.stdout)
    assert found["roc_auc"] is found["pr_auc"] is found["best_f1"] is found["precision"] is None
    assert found["scored"] == 1_140


def test_the_page_is_written_and_the_table_readable(path: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = CliRunner(catch_exceptions=False).invoke(evaluate, [str(path), "--label", "label", "--report", str(page)])
    assert result.exit_code == 0
    assert "ROC-AUC" in result.stdout
    text = page.read_text(encoding="utf-8")
    assert "events.parquet" in text
    assert text.count("<svg") >= 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--label", "lable"], "--label: events.parquet has no column 'lable'; it has: a, b, c, d, attack, label"),
        (["--label", "label", "--warmup", "1200"], "a warm-up of 1200 rows; allowed: 32 to 1199 of 1200"),
    ],
)
def test_what_cannot_be_used_is_named(path: Path, options: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CliRunner(catch_exceptions=False).invoke(evaluate, [str(path), *options])


def test_the_same_options_give_the_same_scores(path: Path) -> None:
    options = Options(path, "label", None, (), None, None, None, None, 3)
    one, two = run(options), run(options)
    assert (one.outcome.error == two.outcome.error).all()
    timed = {"events_per_second", "scored_per_second", "learn_seconds", "score_seconds"}
    assert {k: v for k, v in one.summary.items() if k not in timed} == {
        k: v for k, v in two.summary.items() if k not in timed
    }


def test_figures_of_a_ranking() -> None:
    labels = np.array([True, False, True, False, False])
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0], np.float32)
    found = ranking(labels, scores)
    assert found["roc_auc"] == pytest.approx(5 / 6) == pytest.approx(roc_auc_score(labels, scores))
    assert found["pr_auc"] == pytest.approx((1 + 2 / 3) / 2) == pytest.approx(average_precision_score(labels, scores))
    assert found["best_f1"] == pytest.approx(0.8)  # both found, one false: precision 2/3, recall 1
    assert found["recall_at_1pct_fpr"] == 0.5
    assert set(ranking(np.zeros(5, np.bool_), scores).values()) == {None}


def test_the_feature_that_was_changed_is_the_feature_that_is_named() -> None:
    """In each of 300 rows one value is replaced by a rare one; the expected value must be plausible."""
    past = rows(3_000)
    detector = fit(SPEC, past, kind="denoising", seed=0).detector()
    changed = rows(300, seed=9)
    which = np.arange(300) % 3
    changed.values[0][which == 0] = 25.0
    changed.values[1][which == 1] = 1e6
    changed.values[2][which == 2] = "rare"
    why = detector.explain(detector.score(detector.encoder.transform(changed)), np.arange(300))
    order = np.argsort(-why.per_feature, axis=1, kind="stable")
    assert (order[:, 0] == which).mean() > 0.9
    assert (order[:, :3] == which[:, None]).any(1).mean() > 0.97
    for row, feature in enumerate(which.tolist()):
        [expected] = detector.expected(feature, why.expected[row : row + 1])
        if feature == 2:
            assert {level["value"] for level in expected} <= {"x", "y", "z", "w", "rare", "other", None}
            assert sum(level["probability"] for level in expected) <= 1.0 + 1e-3
        else:
            assert past.values[feature].min() <= expected <= past.values[feature].max()
