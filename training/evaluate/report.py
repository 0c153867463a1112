"""Writes an evaluation as an HTML page: collects what `training.report` draws."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from training.evaluate.evaluation import Evaluation
from training.report import Report, TopAlert, render
from worker.core.alerts.alert import rfc3339
from worker.core.alerts.contributions import explain
from worker.core.model.detector import Detector
from worker.core.model.threshold import score_of

TOP_ALERTS = 20
_CHUNK = 8_192


def write(evaluation: Evaluation, path: Path) -> None:
    """Write the page. Raises OSError if the file cannot be written."""
    outcome, table = evaluation.outcome, evaluation.table
    rows = outcome.first + np.arange(len(outcome.error))
    code, axes = _code_map(evaluation, outcome.served[max(outcome.served)][0])
    page = Report(
        title=evaluation.name,
        summary=evaluation.summary,
        rows=rows,
        score=score_of(outcome.p_value),
        error=outcome.error,
        flagged=outcome.flagged,
        labels=None if table.labels is None else table.labels[outcome.first :],
        versions=outcome.version,
        code=code,
        code_axes=axes,
        alerts=[_alert(evaluation, int(place)) for place in _top_alerts(evaluation)],
    )
    path.write_text(render(page), encoding="utf-8")


def _top_alerts(evaluation: Evaluation) -> npt.NDArray[np.intp]:
    """Indices of the flagged rows with the largest errors, largest first."""
    error = np.where(evaluation.outcome.flagged, evaluation.outcome.error, -1.0)
    order = np.argsort(-error, kind="stable")[:TOP_ALERTS]
    return order[error[order] >= 0]


def _alert(evaluation: Evaluation, place: int) -> TopAlert:
    outcome = evaluation.outcome
    row = outcome.first + place
    detector, _ = outcome.served[int(outcome.version[place])]
    one = evaluation.columns.take(np.array([row]))
    scores = detector.score(detector.encoder.transform(one))
    [found] = explain(detector, scores, one, np.zeros(1, np.intp))
    labels, times = evaluation.table.labels, evaluation.times
    return TopAlert(
        row=row,
        entity=evaluation.entities[row],
        event_time=None if times is None else rfc3339(int(times[row])),
        score=float(score_of(outcome.p_value[place : place + 1])[0]),
        p_value=float(outcome.p_value[place]),
        error=float(outcome.error[place]),
        anomalous=None if labels is None else bool(labels[row]),
        features=[msgspec.to_builtins(contribution) for contribution in found],
    )


def _code_map(evaluation: Evaluation, detector: Detector) -> tuple[npt.NDArray[np.float32], tuple[str, str]]:
    """The last version's bottleneck code of each scored row, (n, 2), and the names of the two axes.

    A code of more than two units is projected onto its first two principal components.
    """
    windowed, first, rows = evaluation.columns, evaluation.outcome.first, evaluation.table.rows
    code = np.concatenate(
        [
            detector.score(detector.encoder.transform(windowed.take(slice(at, min(rows, at + _CHUNK))))).code
            for at in range(first, rows, _CHUNK)
        ]
    )
    if code.shape[1] == 1:
        return np.column_stack((code[:, 0], np.zeros(len(code), np.float32))), ("unit 1 of the code", "")
    if code.shape[1] == 2:
        return code, ("unit 1 of the code", "unit 2 of the code")
    centred = code - code.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    names = ("first principal component of the code", "second principal component of the code")
    return (centred @ axes[:, ::-1][:, :2]).astype(np.float32), names
