"""The file of `offbeat evaluate --scores`: one JSON line for each scored row."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from training.evaluate.evaluation import Evaluation
from training.evaluate.explained import explain_places
from worker.core.alerts.alert import Contribution
from worker.core.alerts.redaction import plain
from worker.core.model.threshold import Severity, score_of, severity_of

_CHUNK = 8_192


class ScoredRow(msgspec.Struct, frozen=True):
    """A scored row: `row` is its number in the file, from 0. `alerted` says that the worker would have published it, as
    an alert that opens or updates an incident. `severity` is null and `features` empty if it is not flagged.
    """

    row: int
    reconstruction_error: float
    p_value: float
    score: float
    severity: Severity | None
    flagged: bool
    alerted: bool
    version: int
    entity: str | None
    features: list[Contribution]


def lines(evaluation: Evaluation) -> Iterator[bytes]:
    """The lines of the file in row order, in pieces of a few thousand."""
    outcome, encoder = evaluation.outcome, msgspec.json.Encoder()
    scores = score_of(outcome.p_value)
    for start in range(0, len(outcome.error), _CHUNK):
        places = np.arange(start, min(start + _CHUNK, len(outcome.error)))
        why = explain_places(outcome, evaluation.columns, places[outcome.flagged[places]])
        rows = (
            ScoredRow(
                row=outcome.first + place,
                reconstruction_error=float(outcome.error[place]),
                p_value=float(outcome.p_value[place]),
                score=float(scores[place]),
                severity=severity_of(float(scores[place])) if place in why else None,
                flagged=place in why,
                alerted=bool(outcome.alerted[place]),
                version=int(outcome.version[place]),
                entity=plain(outcome.arrivals.entities[place]),
                features=why.get(place, []),
            )
            for place in places.tolist()
        )
        yield encoder.encode_lines(rows)
