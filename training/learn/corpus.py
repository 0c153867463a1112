"""The corpus of a fine-tune: samples from the partitions' snapshots, divided into rows to fit and to calibrate on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns
from worker.core.events.spec import FeatureSpec
from worker.core.state.partition_state import PartitionState
from worker.core.state.reservoir import Reservoir, held_out

RECENT_PER_HALF_LIFE = 4 / 3
RECENT_LEAST = 1_024
LASTING_ROWS = 256

_Rows = tuple[npt.NDArray[np.int64], Columns, npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Rows in time order, and their [first, last] offsets by "topic/partition".

    `times` (n,) are the event times of the rows to fit, in ms. `fresh` (n,) bool marks the rows to fit that came after
    all that the champion was fitted on. No model but the first of a stream was ever fitted on a row of `calibrate`.
    """

    fit: Columns
    calibrate: Columns
    ranges: dict[str, list[int]]
    fresh: npt.NDArray[np.bool_]
    times: npt.NDArray[np.int64]


def corpus_of(
    spec: FeatureSpec, states: Iterable[tuple[str, PartitionState]], champion: Mapping[str, Sequence[int]]
) -> Corpus:
    """The corpus of (topic, state) pairs; `champion` are the ranges of the model that serves.

    The rows to fit are the recent ones, as many as the last few versions scored, and some of the long-term sample
    against forgetting. No recent row is left out for its error: rare but normal events would never be learned, and the
    fit is robust to the anomalies among the rows. The rows to calibrate on are all recent ones of the held-out blocks,
    whatever their verdicts, so that the error distribution keeps its tail.
    """
    held = [(topic, state) for topic, state in states]
    if not any(len(state.recent) for _, state in held):
        empty = Columns.empty(spec)
        return Corpus(empty, empty, {}, np.zeros(0, np.bool_), np.zeros(0, np.int64))
    fit: list[_Rows] = []
    calibrate: list[_Rows] = []
    for topic, state in held:
        counted = champion.get(f"{topic}/{state.partition}", (0, -1))[1]
        recent, lasting = state.recent, state.lasting
        wanted = max(RECENT_LEAST, int(RECENT_PER_HALF_LIFE * (recent.half_life or 0.0)))
        chosen = recent.best(wanted)
        aside = held_out(state.seed, recent.offsets)
        fit.append(_take(recent, chosen[~aside[chosen]], counted))
        old = np.flatnonzero(~np.isin(lasting.offsets, recent.offsets[chosen]) & ~held_out(state.seed, lasting.offsets))
        fit.append(_take(lasting, old[:: max(1, len(old) // LASTING_ROWS)], counted))
        calibrate.append(_take(recent, np.flatnonzero(aside), counted))
    ranges = {
        f"{topic}/{state.partition}": [int(state.recent.offsets[0]), int(state.next_offset) - 1]
        for topic, state in held
        if len(state.recent)
    }
    columns, fresh, times = _sort_by_time(fit)
    return Corpus(columns, _sort_by_time(calibrate)[0], ranges, fresh, times)


def _take(sample: Reservoir, chosen: npt.NDArray[np.intp], counted: int) -> _Rows:
    return sample.times[chosen], sample.columns.take(chosen), sample.offsets[chosen] > counted


def _sort_by_time(rows: list[_Rows]) -> tuple[Columns, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    times, fresh = np.concatenate([t for t, *_ in rows]), np.concatenate([f for *_, f in rows])
    order = np.argsort(times, kind="stable")
    return Columns.concat([columns for _, columns, _ in rows]).take(order), fresh[order], times[order]
