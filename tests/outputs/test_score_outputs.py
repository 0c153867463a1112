"""Score records: one per scored row, in offset order."""

from __future__ import annotations

import json

import numpy as np

from tests.outputs.batch import SOURCE, stepped
from worker.core.model.threshold import score_of
from worker.outputs.scores import ScoreOutputs

RECORDS, MODEL, STEP = stepped(200)
OUTPUTS = ScoreOutputs("scores").outputs(SOURCE, MODEL, STEP)
SCORES = [json.loads(output.value) for output in OUTPUTS]


def test_every_scored_row_has_a_record_in_offset_order() -> None:
    assert len(SCORES) < len(RECORDS), "bad records and tombstones are not scored"
    assert [score["offset"] for score in SCORES] == STEP.rows.offsets.tolist()
    assert [score["event_time_ms"] for score in SCORES] == STEP.rows.times.times.tolist()
    assert {(score["topic"], score["partition"], score["version"]) for score in SCORES} == {("events", 1, 1)}


def test_a_record_has_the_rows_own_numbers() -> None:
    p_values = MODEL.threshold.p_values(STEP.rows.errors)
    assert [score["p_value"] for score in SCORES] == p_values.tolist()
    assert [score["score"] for score in SCORES] == score_of(p_values).tolist()
    assert [score["reconstruction_error"] for score in SCORES] == STEP.rows.errors.tolist()
    code = np.array([score["code"] for score in SCORES])
    assert np.abs(code - STEP.scores.code).max() <= 0.5e-5 + 1e-9


def test_the_verdict_is_the_alerts() -> None:
    flagged = [score["offset"] for score in SCORES if score["verdict"] == "ANOMALOUS"]
    assert flagged == STEP.rows.offsets[STEP.rows.flagged].tolist()
    assert 0 < len(flagged) < len(SCORES)
    assert {score["verdict"] for score in SCORES} == {"ANOMALOUS", "NORMAL"}


def test_outputs_are_scores_without_key_or_headers() -> None:
    assert {(output.source, output.topic, output.key, output.kind) for output in OUTPUTS} == {
        (SOURCE, "scores", None, "score")
    }
    assert all(not output.headers and not output.severity for output in OUTPUTS)
