"""Scored rows explained afterwards, each by the version that scored it. A row's score does not depend on the others, so
scoring it once more gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from training.evaluate.prequential import Outcome
from worker.core.alerts.alert import Contribution
from worker.core.alerts.contributions import explain
from worker.core.events.columns import Columns
from worker.core.model.detector import Detector

Places = npt.NDArray[np.intp]
_CHUNK = 8_192


def explain_places(outcome: Outcome, columns: Columns, places: Places) -> dict[int, list[Contribution]]:
    """The contributions to the errors of some scored rows, by place: the same as in their alerts.

    `places` (m,) count from the first scored row; `columns` holds all rows of the file.
    """
    found: dict[int, list[Contribution]] = {}
    for detector, chosen in by_version(outcome, places):
        rows = columns.take(chosen + outcome.first)
        scores = detector.score(detector.encoder.transform(rows))
        why = explain(detector, scores, rows, np.arange(len(chosen)))
        found |= dict(zip(chosen.tolist(), why, strict=True))
    return found


def surprises(detector: Detector, rows: Columns) -> npt.NDArray[np.float32]:
    """(n, F) float32: how much each feature contributes to the error of each row."""
    scores = detector.score(detector.encoder.transform(rows))
    return detector.explain(scores, np.arange(len(rows))).per_feature


def by_version(outcome: Outcome, places: Places) -> Iterator[tuple[Detector, Places]]:
    """The detectors that scored some rows, each with their places, in pieces of a few thousand."""
    versions = outcome.version[places]
    for version in np.unique(versions).tolist():
        chosen = places[versions == version]
        for start in range(0, len(chosen), _CHUNK):
            yield outcome.served[version][0], chosen[start : start + _CHUNK]
