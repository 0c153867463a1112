"""The anomalies that were not flagged, each with the reason: which features stood out and which looked normal."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from training.evaluate.evaluation import Evaluation
from training.evaluate.explained import by_version, explain_places, surprises
from training.report import MissedAnomaly, Surprise
from worker.core.alerts.alert import rfc3339

SHOWN = 100
COMPARED = 1_000
"""A feature's surprise is compared with its surprise in this many scored rows, evenly spaced over the file."""


def missed_anomalies(evaluation: Evaluation) -> list[MissedAnomaly]:
    """The missed anomalies with the smallest p-values, smallest first; none without labels."""
    outcome, labels = evaluation.outcome, evaluation.table.labels
    if labels is None:
        return []
    missed = np.flatnonzero(labels[outcome.first :] & ~outcome.flagged)
    missed = missed[np.lexsort((-outcome.error[missed], outcome.p_value[missed]))][:SHOWN]
    ascending = np.sort(outcome.error)
    contributions = explain_places(outcome, evaluation.columns, missed)
    by_feature = _surprises(evaluation, missed)
    kinds, times = evaluation.table.kinds, outcome.arrivals.times.times
    found = []
    for place in missed.tolist():
        row = outcome.first + place
        found.append(
            MissedAnomaly(
                row=row,
                entity=outcome.arrivals.entities[place],
                event_time=rfc3339(int(times[place])) if evaluation.timed else None,
                kind=None if kinds is None else kinds[row],
                p_value=float(outcome.p_value[place]),
                place=len(ascending) - int(np.searchsorted(ascending, outcome.error[place], side="right")) + 1,
                rows=len(ascending),
                features=[msgspec.to_builtins(one) for one in contributions[place]],
                surprises=by_feature[place],
            )
        )
    return found


def _surprises(evaluation: Evaluation, places: npt.NDArray[np.intp]) -> dict[int, list[Surprise]]:
    """By place: how surprising every feature was, compared with the same feature in other rows under the same version;
    those that stand out most first.
    """
    outcome, columns = evaluation.outcome, evaluation.columns
    names = evaluation.settings.spec.names
    compared = np.unique(np.linspace(0, len(outcome.error) - 1, COMPARED).astype(np.intp)) + outcome.first
    found: dict[int, list[Surprise]] = {}
    for detector, chosen in by_version(outcome, places):
        usual = surprises(detector, columns.take(compared))
        own = surprises(detector, columns.take(chosen + outcome.first))
        above, apart = _ranks(usual, own), _ranks(_parts(usual), _parts(own))
        for i, place in enumerate(chosen.tolist()):
            each = [Surprise(name, float(above[i, f]), float(apart[i, f])) for f, name in enumerate(names)]
            found[place] = sorted(each, key=lambda surprise: (-surprise.stands_out, -surprise.above))
    return found


def _ranks(usual: npt.NDArray[np.float32], own: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(m, F), the share of `usual` (n, F) below each of `own` (m, F), by column. It is less than 1, since n rows show
    nothing about shares smaller than 1 / n.
    """
    columns = [np.searchsorted(np.sort(usual[:, f]), own[:, f]) for f in range(own.shape[1])]
    return np.stack(columns, axis=1) / (len(usual) + 1)


def _parts(contributions: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n, F) contributions as parts of their rows' sums."""
    parts: npt.NDArray[np.float32] = contributions / np.maximum(contributions.sum(1, keepdims=True), np.float32(1e-30))
    return parts
