"""What the trainer learns from: samples of the partitions' snapshots, cut into rows to fit and to calibrate."""

from __future__ import annotations

from collections.abc import Iterable
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

_Part = tuple[npt.NDArray[np.int64], Columns]


@dataclass(frozen=True, slots=True)
class Corpus:
    """`fit` and `calibrate` rows in time order; no row of `calibrate` was fitted on by a version after the first."""

    fit: Columns
    calibrate: Columns
    ranges: dict[str, list[int]]


def corpus_of(spec: FeatureSpec, states: Iterable[tuple[str, PartitionState]]) -> Corpus:
    """Rows from (topic, state) pairs.

    To fit: the recent rows, as many as the last few versions saw, and some of the long-term sample against forgetting.
    None is left out for its error: that would keep what is rare yet normal from ever being learnt, and the fit is
    robust to the anomalies among them. To calibrate: all recent rows of the blocks that are held out, whatever their
    verdict, so that the error distribution keeps its tail.
    """
    held = [(topic, state) for topic, state in states]
    if not any(len(state.recent) for _, state in held):
        empty = Columns.empty(spec)
        return Corpus(empty, empty, {})
    fit: list[_Part] = []
    calibrate: list[_Part] = []
    for _, state in held:
        recent, lasting = state.recent, state.lasting
        wanted = max(RECENT_LEAST, int(RECENT_PER_HALF_LIFE * (recent.half_life or 0.0)))
        chosen = recent.best(wanted)
        aside = held_out(state.seed, recent.offsets)
        fit.append(_part(recent, chosen[~aside[chosen]]))
        old = np.flatnonzero(~np.isin(lasting.offsets, recent.offsets[chosen]) & ~held_out(state.seed, lasting.offsets))
        fit.append(_part(lasting, old[:: max(1, len(old) // LASTING_ROWS)]))
        calibrate.append(_part(recent, np.flatnonzero(aside)))
    ranges = {f"{topic}/{state.partition}": [int(state.recent.offsets[0]), int(state.next_offset) - 1]
              for topic, state in held if len(state.recent)}  # fmt: skip
    return Corpus(_in_time_order(fit), _in_time_order(calibrate), ranges)


def _part(sample: Reservoir, chosen: npt.NDArray[np.intp]) -> _Part:
    return sample.times[chosen], sample.columns.take(chosen)


def _in_time_order(parts: list[_Part]) -> Columns:
    order = np.argsort(np.concatenate([times for times, _ in parts]), kind="stable")
    return Columns.concat([columns for _, columns in parts]).take(order)
