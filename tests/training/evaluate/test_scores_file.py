"""`offbeat evaluate --scores`: the lines agree with the summary, and with the alerts that the worker would publish."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import average_precision_score, roc_auc_score

import training.evaluate.cli as cli
from tests.training.evaluate.scored import CONFIG, evaluation, events, folder
from training.evaluate.cli import evaluate
from training.evaluate.scores_file import lines
from worker.config.load import load
from worker.core.events.decode import Limits, decoder_for
from worker.core.model.serving_model import ServingModel, Signatures, Versions
from worker.core.model.threshold import severity_of
from worker.core.state.partition_state import PartitionState
from worker.core.step import step
from worker.errors import ConfigError
from worker.outputs.alerts import AlertOutputs
from worker.ports.log import Records, TopicPartition

KEYS = [
    "row", "reconstruction_error", "p_value", "score", "severity", "flagged", "alerted", "version", "entity",
    "features",
]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    """The summary, the lines and the page of one call of the command."""
    made, out = folder(), tmp_path_factory.mktemp("scores")
    command = [str(made / "events.jsonl"), "-c", str(made / "c.yaml"), "--label", "kind", "--warmup", "400", "--json"]
    command += ["--scores", str(out / "s.jsonl"), "--report", str(out / "r.html")]
    result = CliRunner(catch_exceptions=False).invoke(evaluate, command)
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in (out / "s.jsonl").read_text("utf-8").splitlines()]
    assert sorted(path.name for path in out.iterdir()) == ["r.html", "s.jsonl"], "nothing else is left"
    return json.loads(result.stdout), found, (out / "r.html").read_text("utf-8")


def test_the_lines_and_the_summary_give_the_same_figures(
    written: tuple[dict[str, Any], list[dict[str, Any]], str],
) -> None:
    summary, found, _ = written
    made = events()
    labels = np.array([made[line["row"]]["kind"] != "normal" for line in found])
    errors = [line["reconstruction_error"] for line in found]
    flagged = np.array([line["flagged"] for line in found])
    assert [line["row"] for line in found] == list(range(400, len(made)))
    assert all(list(line) == KEYS for line in found)
    assert summary["alert_rate_observed"] == flagged.mean() > 0
    assert summary["roc_auc"] == roc_auc_score(labels, errors)
    assert summary["pr_auc"] == average_precision_score(labels, errors)
    assert summary["precision"] == labels[flagged].mean()
    assert summary["recall"] == flagged[labels].mean()
    assert summary["missed"] == (labels & ~flagged).sum()
    assert summary["flagged"] == flagged.sum()
    assert summary["alerts"] == sum(line["alerted"] for line in found)
    assert {line["version"] for line in found} == set(range(1, max(line["version"] for line in found) + 1))
    for kind in summary["kinds"]:
        rows = [line for line in found if made[line["row"]]["kind"] == kind["kind"]]
        assert (kind["anomalies"], kind["flagged"]) == (len(rows), sum(line["flagged"] for line in rows))


def test_score_severity_and_features_follow_from_the_row(
    written: tuple[dict[str, Any], list[dict[str, Any]], str],
) -> None:
    _, found, _ = written
    made = events()
    for line in found:
        assert line["score"] == pytest.approx(min(100.0, -12.5 * math.log10(line["p_value"])))
        assert line["severity"] == (severity_of(line["score"]) if line["flagged"] else None)
        assert line["entity"] == made[line["row"]]["shop"]
        assert bool(line["features"]) == line["flagged"] >= line["alerted"]
        for feature in line["features"]:
            assert list(feature) == ["field", "actual", "expected", "share"]
            assert feature["actual"] == pytest.approx(made[line["row"]][feature["field"]])


def test_what_is_alerted_and_why_is_what_the_worker_publishes() -> None:
    """The worker's step and its alert outputs, from the events' JSON on, version by version."""
    evaluated = evaluation()
    outcome, spec = evaluated.outcome, evaluated.settings.spec
    raw = [json.dumps(event).encode() for event in events()]
    source, first = TopicPartition("events", 0), outcome.first
    state = PartitionState(spec, "t", 0, first, 60_000, evaluated.settings.bounds)
    state.clock_ms = max(event["at"] for event in events()[:first])
    alerts = AlertOutputs("s", "alerts", "none", lambda _: 1_000_000, lambda: 0)
    published: list[dict[str, Any]] = []
    for version, (detector, threshold) in sorted(outcome.served.items()):
        model = ServingModel(
            Versions(str(version), ""), version, detector.kind, spec.spec_hash, 0, detector, threshold,
            threshold.training_cut(), cast(Any, None), Signatures(None, None),
        )  # fmt: skip
        rows = first + np.flatnonzero(outcome.version == version)
        for part in np.array_split(rows, 3):
            values = [raw[row] for row in part]
            records = Records(source, part.astype(np.int64), np.full(len(part), -1), values, lambda _: None)
            decoded = decoder_for("json", spec, Limits()).decode(records.values)
            made = step(state, model, decoded, records.offsets, records.timestamps, records.key)
            published += [json.loads(output.value) for output in alerts.outputs("t", records, model, made)]
    wanted = {alert["record"]["offset"]: alert for alert in published if alert["status"] != "closed"}
    found = {line["row"]: line for piece in lines(evaluated) for line in map(json.loads, piece.splitlines())}
    assert {row for row, line in found.items() if line["alerted"]} == set(wanted)
    assert {alert["status"] for alert in wanted.values()} == {"open", "update"}, "both are exercised"
    assert len(wanted) < sum(line["flagged"] for line in found.values()), "the cooldown holds some back"
    same = ("reconstruction_error", "p_value", "score", "severity", "entity", "features")
    for row, alert in wanted.items():
        assert {key: found[row][key] for key in same} == {key: alert[key] for key in same}
        assert found[row]["version"] == alert["model"]["version"]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ("gone/s.jsonl", "--scores: .*gone/s.jsonl: cannot be written: No such file or directory"),
        ("events.jsonl", "--scores: .*events.jsonl is also FILE; allowed: a file of its own"),
        ("c.yaml", "--scores: .*c.yaml is also -c"),
        ("r.html", "--report: .*r.html is also --scores"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_run(
    monkeypatch: pytest.MonkeyPatch, scores: str, said: str
) -> None:
    made = folder()
    monkeypatch.setattr(cli, "run", lambda *_: pytest.fail("the run began"))
    command = [str(made / "events.jsonl"), "-c", str(made / "c.yaml"), "--scores", str(made / scores)]
    with pytest.raises(ConfigError, match=said):
        CliRunner(catch_exceptions=False).invoke(evaluate, [*command, "--report", str(made / "r.html")])
    assert sorted(path.name for path in made.iterdir()) == ["c.yaml", "events.jsonl"]
    assert (made / "c.yaml").read_text("utf-8") == CONFIG


def test_a_run_that_fails_leaves_the_older_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "s.jsonl"
    old.write_text("older\n")
    made = folder()
    with pytest.raises(ConfigError, match="a warm-up of 1000 rows"):
        CliRunner(catch_exceptions=False).invoke(
            evaluate, [str(made / "events.jsonl"), "--warmup", "1000", "--scores", str(old)]
        )
    assert [path.name for path in tmp_path.iterdir()] == ["s.jsonl"] and old.read_text() == "older\n"


def test_the_figures_are_shown_even_if_the_files_cannot_be_written_in_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made, gone = folder(), tmp_path / "soon gone"
    gone.mkdir()
    settings = load(made / "c.yaml")

    def run_and_remove(*_: Any) -> Any:
        assert settings.spec.entity == "shop"
        for path in gone.iterdir():
            path.unlink()
        gone.rmdir()
        return evaluation()

    monkeypatch.setattr(cli, "run", run_and_remove)
    result = CliRunner().invoke(evaluate, [str(made / "events.jsonl"), "--json", "--scores", str(gone / "s.jsonl")])
    assert isinstance(result.exception, ConfigError) and "cannot be written" in str(result.exception)
    assert json.loads(result.stdout)["scored"] == 600


def test_the_page_shows_kinds_entities_times_other_rates_and_missed_anomalies(
    written: tuple[dict[str, Any], list[dict[str, Any]], str],
) -> None:
    summary, _, page = written
    for part in ("By kind of anomaly", "Other alert rates", "entity <strong>shop-", "event time (UTC), 9 Oct 2025"):
        assert part in page
    assert ("The missed anomalies" in page) == (summary["missed"] > 0)
