"""An evaluation as an HTML page: collects what `training.report` draws."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from training.evaluate.evaluation import Evaluation
from training.evaluate.explained import explain_places
from training.evaluate.missed import missed_anomalies
from training.report import Report, TopAlert, render
from worker.core.alerts.alert import rfc3339
from worker.core.model.detector import Detector
from worker.core.model.threshold import score_of

TOP_ALERTS = 20
_CHUNK = 8_192


def page_of(evaluation: Evaluation) -> bytes:
    """The page in UTF-8."""
    outcome, table = evaluation.outcome, evaluation.table
    rows = outcome.first + np.arange(len(outcome.error))
    code, axes = _code_map(evaluation, outcome.served[max(outcome.served)][0])
    page = Report(
        title=evaluation.name,
        summary=evaluation.summary,
        rows=rows,
        times=outcome.arrivals.times.times if evaluation.timed else None,
        score=score_of(outcome.p_value),
        error=outcome.error,
        flagged=outcome.flagged,
        labels=None if table.labels is None else table.labels[outcome.first :],
        versions=outcome.version,
        code=code,
        code_axes=axes,
        alerts=_top_alerts(evaluation),
        missed=missed_anomalies(evaluation),
    )
    return render(page).encode("utf-8")


def _top_alerts(evaluation: Evaluation) -> list[TopAlert]:
    """The flagged rows with the highest scores, highest first; among equal ones, those with the largest errors."""
    outcome, labels = evaluation.outcome, evaluation.table.labels
    flagged = np.flatnonzero(outcome.flagged)
    places = flagged[np.lexsort((-outcome.error[flagged], outcome.p_value[flagged]))][:TOP_ALERTS]
    why, scores = explain_places(outcome, evaluation.columns, places), score_of(outcome.p_value[places])
    return [
        TopAlert(
            row=outcome.first + place,
            entity=outcome.arrivals.entities[place],
            event_time=rfc3339(int(outcome.arrivals.times.times[place])) if evaluation.timed else None,
            score=float(score),
            p_value=float(outcome.p_value[place]),
            error=float(outcome.error[place]),
            anomalous=None if labels is None else bool(labels[outcome.first + place]),
            features=[msgspec.to_builtins(contribution) for contribution in why[place]],
        )
        for place, score in zip(places.tolist(), scores, strict=True)
    ]


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
