"""Alerts of a batch: in log order, without those held back, explained once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from tests.outputs.batch import SOURCE, stepped
from worker.core.model.detector import Detector, Explanation, Scores
from worker.core.state.incidents import Closed, IncidentChange
from worker.core.step import Step
from worker.outputs.alerts import AlertOutputs
from worker.ports.log import Output

RECORDS, MODEL, STEP = stepped(400)
OPENED = [change for change in STEP.changes if isinstance(change, IncidentChange)]
PUBLISHED = [change for change in OPENED if change.publish]
CLOSED = [change for change in STEP.changes if isinstance(change, Closed)]
DETECTED_MS = 1_900_000_000_000


def alert_outputs(event: Literal["full", "none"] | tuple[str, ...] = "full", limit: int = 1_000_000) -> AlertOutputs:
    return AlertOutputs("stream", "alerts", event, lambda _: limit, lambda: DETECTED_MS)


def outputs(step: Step = STEP, **options: Any) -> list[Output]:
    return alert_outputs(**options).outputs("topic-id", RECORDS, MODEL, step)


def read(output: Output) -> dict[str, Any]:
    alert: dict[str, Any] = json.loads(output.value)
    return alert


def place(change: IncidentChange | Closed) -> tuple[str, int]:
    """The status and the offset that an alert about this change has."""
    if isinstance(change, Closed):
        return "closed", change.incident.opened_offset
    return change.status, change.record.offset


def test_the_batch_has_every_kind_of_change() -> None:
    assert len(PUBLISHED) > 5
    assert len(OPENED) > len(PUBLISHED), "some are held back"
    assert {change.status for change in PUBLISHED} == {"open", "update"}
    last_opened = max(i for i, change in enumerate(STEP.changes) if isinstance(change, IncidentChange))
    assert any(isinstance(change, Closed) for change in STEP.changes[:last_opened]), "closings come in between"


def test_alerts_are_in_log_order_without_those_held_back() -> None:
    wanted = [place(change) for change in STEP.changes if isinstance(change, Closed) or change.publish]
    alerts = [read(output) for output in outputs()]
    assert [(alert["status"], alert["record"]["offset"]) for alert in alerts] == wanted
    assert len({alert["alert_id"] for alert in alerts}) == len(alerts)


def test_an_alert_is_of_its_own_record() -> None:
    alerts = [alert for alert in map(read, outputs()) if alert["status"] != "closed"]
    for alert, change in zip(alerts, PUBLISHED, strict=True):
        row = int(np.searchsorted(RECORDS.offsets, change.record.offset))
        assert alert["event"] == json.loads(RECORDS.values[row] or b"")
        assert alert["entity"] == alert["event"]["host"] == change.record.entity
        assert alert["p_value"] == change.record.evidence.p_value
        assert alert["features"][0]["field"] == "duration" or alert["event"]["duration"] < 20.0
        assert alert["detected_at"] == "2030-03-17T17:46:40.000Z"


def test_all_records_of_a_batch_are_explained_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[int]] = []
    explain = Detector.explain

    def counted(self: Detector, scores: Scores, rows: npt.NDArray[np.intp]) -> Explanation:
        calls.append(STEP.rows.offsets[rows].tolist())
        return explain(self, scores, rows)

    monkeypatch.setattr(Detector, "explain", counted)
    outputs()
    assert calls == [[change.record.offset for change in PUBLISHED]]
    outputs(replace(STEP, changes=list(CLOSED)))
    assert len(calls) == 1, "closings are not explained"


def test_no_change_is_no_alert() -> None:
    held_back = [change for change in OPENED if not change.publish]
    assert outputs(replace(STEP, changes=[])) == []
    assert outputs(replace(STEP, changes=list(held_back))) == []


def test_the_key_is_the_entity_else_the_records_own() -> None:
    [alert] = outputs(replace(STEP, changes=[PUBLISHED[0]]))
    assert alert.key == str(PUBLISHED[0].record.entity).encode()
    nameless = replace(PUBLISHED[0], record=replace(PUBLISHED[0].record, entity=None))
    [alert] = outputs(replace(STEP, changes=[nameless]))
    assert alert.key == RECORDS.key(PUBLISHED[0].record.offset - int(RECORDS.offsets[0]))
    [alert] = outputs(replace(STEP, changes=[CLOSED[0]._replace(entity=None)]))
    assert alert.key is None


def test_the_event_is_shown_as_far_as_the_configuration_allows() -> None:
    single = replace(STEP, changes=[PUBLISHED[0]])
    assert read(outputs(single, event="none")[0])["event"] is None
    assert read(outputs(single, event=("host", "proto.name"))[0])["event"].keys() == {"host", "proto"}


def test_an_alert_that_is_too_large_loses_its_event() -> None:
    single = replace(STEP, changes=[PUBLISHED[0]])
    whole = outputs(single)[0]
    alert = read(outputs(single, limit=len(whole.value))[0])
    assert (alert["event"], alert["event_omitted"]) == (None, True)


def test_outputs_say_what_is_counted() -> None:
    for output in outputs():
        alert = read(output)
        assert (output.source, output.topic) == (SOURCE, "alerts")
        assert (output.kind, output.status, output.severity) == ("anomaly", alert["status"], alert["severity"])
