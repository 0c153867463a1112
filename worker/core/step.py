"""The one step from decoded records to folded state: featurize, score, fold.

Serving, catch-up, history, evaluation and the tests' oracle all call it, so that a record means the same everywhere.
Decoding stays outside, because the worker decodes ahead in a thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns
from worker.core.events.decode import Decoded
from worker.core.events.entity_names import entity_of
from worker.core.events.event_time import EventTimes, event_times
from worker.core.model.detector import Scores
from worker.core.model.encoder import Encoded
from worker.core.model.serving_model import ServingModel
from worker.core.state.incidents import Change, Evidence, Flagged
from worker.core.state.partition_state import PartitionState, ScoredRows

Key = Callable[[int], bytes | None]
"""The key of a record by its place in the batch. It is called only for records that need one."""


@dataclass(frozen=True, slots=True)
class Featurized:
    """The n decoded records of a batch, in offset order, as the model sees them.

    `index` (n,) are their places in the batch. `offsets` and `timestamps` (n,) int64, timestamps in ms since
    1970 or -1. `columns` have n rows. `evicted` entities were dropped to make room; `late` records were older than
    their entity's last one.
    """

    index: npt.NDArray[np.intp]
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    times: EventTimes
    columns: Columns
    evicted: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What one batch came to: its rows, their scores, and how they changed the partition's incidents, in log order."""

    featurized: Featurized
    encoded: Encoded
    scores: Scores
    rows: ScoredRows
    changes: list[Change]


def step(
    state: PartitionState,
    model: ServingModel,
    decoded: Decoded,
    offsets: npt.NDArray[np.int64],
    timestamps: npt.NDArray[np.int64],
    key: Key,
) -> Step:
    """Featurize, score and fold one batch of records of one partition; `offsets` and `timestamps` of all of them."""
    featurized = featurize(state, decoded, offsets, timestamps, key)
    encoded, scores, rows = score(model, featurized)
    changes = state.fold(rows, flagged_records(model, decoded, featurized, rows, key))
    state.next_offset = int(offsets[-1]) + 1
    return Step(featurized, encoded, scores, rows, changes)


def featurize(
    state: PartitionState,
    decoded: Decoded,
    offsets: npt.NDArray[np.int64],
    timestamps: npt.NDArray[np.int64],
    key: Key,
) -> Featurized:
    """Place the decoded records in time and add what is known of their entities; moves the clock and the entities.

    `offsets` and `timestamps` (N,) int64 are those of all records of the batch, decoded or not.
    """
    timestamps, offsets = timestamps[decoded.index], offsets[decoded.index]
    times = event_times(decoded.times, timestamps, state.clock_ms)
    observed = state.observe(decoded.columns, lambda: decoded.entities(key), times, offsets)
    return Featurized(decoded.index, offsets, timestamps, times, observed.columns, observed.evicted, observed.late)


def score(model: ServingModel, featurized: Featurized) -> tuple[Encoded, Scores, ScoredRows]:
    """Encode and score n featurized records under one model; touches no state."""
    encoded = model.detector.encoder.transform(featurized.columns)
    scores = model.detector.score(encoded)
    errors, threshold = scores.errors, model.threshold
    rows = ScoredRows(
        offsets=featurized.offsets,
        times=featurized.times,
        columns=featurized.columns,
        errors=errors,
        p_buckets=threshold.p_buckets(errors),
        flagged=threshold.flag(errors),
        trainable=errors < model.training_cut,
    )
    return encoded, scores, rows


def flagged_records(
    model: ServingModel, decoded: Decoded, featurized: Featurized, rows: ScoredRows, key: Key
) -> list[Flagged]:
    """The rows above the threshold, in offset order, with the evidence for each."""
    flagged = np.flatnonzero(rows.flagged)
    p_values = model.threshold.p_values(rows.errors[flagged])
    best = model.threshold.best_p(rows.errors[flagged])
    return [
        Flagged(
            entity=entity_of(decoded.names.at(row), key(int(featurized.index[row]))),
            offset=int(rows.offsets[row]),
            timestamp_ms=int(featurized.timestamps[row]),
            time_ms=int(rows.times.times[row]),
            clock_ms=int(rows.times.clock[row]),
            evidence=Evidence(
                p_value=p_value,
                error=float(rows.errors[row]),
                threshold=model.threshold.cut,
                calibration_n=model.threshold.calibration_n,
                version=model.version,
                kind=model.kind,
                backfill=0 <= int(featurized.timestamps[row]) < model.created_ms,
                best_p=best_p,
            ),
        )
        for row, p_value, best_p in zip(flagged.tolist(), p_values.tolist(), best.tolist(), strict=True)
    ]
