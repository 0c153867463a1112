"""What the trainer learns from: the samples of the partitions' snapshots, cut into consecutive blocks of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.core.columns import Columns
from worker.core.detector import Detector
from worker.core.partition import PartitionState
from worker.core.reservoir import FLAGGED, Reservoir
from worker.core.spec import FeatureSpec

FIT_SHARE = 0.6
WORST_SHARE = 0.10
"""Of the recent rows, by the champion's error: left out of the replay buffer."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """`fit` rows in time order, without the worst; `calibrate` rows of everything, all later than `fit`."""

    fit: Columns
    calibrate: Columns
    flagged: npt.NDArray[np.bool_]
    ranges: dict[str, list[int]]


def corpus_of(spec: FeatureSpec, states: Iterable[tuple[str, PartitionState]], champion: Detector) -> Corpus:
    """Blocks from (topic, state) pairs.

    The boundary is the `FIT_SHARE` quantile of the recent sample's event times. Before it lie the rows to fit: the
    recent ones without those that the champion finds worst, and the long-term sample against forgetting. From it on,
    a uniform sample of everything calibrates, so that the error distribution keeps its tail.

    The worst are counted among the recent rows themselves: a cut fixed at the champion's calibration would keep a
    stream that has drifted past it from ever being learnt.
    """
    held = [(topic, state) for topic, state in states]
    recent = [state.recent for _, state in held]
    for sample in recent:
        sample.settle()
    times = np.concatenate([sample.times for sample in recent]) if recent else np.empty(0, np.int64)
    if not len(times):
        empty = Columns.empty(spec)
        return Corpus(empty, empty, np.empty(0, np.bool_), {})
    boundary = int(np.quantile(times, FIT_SHARE, method="lower"))
    fit_parts: list[tuple[npt.NDArray[np.int64], Columns]] = []
    later: list[tuple[npt.NDArray[np.int64], Columns, npt.NDArray[np.uint8]]] = []
    for _, state in held:
        fit_parts.append(_without_worst(state.recent, champion, boundary))
        state.lasting.settle()
        only_lasting = ~np.isin(state.lasting.offsets, state.recent.offsets)
        fit_parts.append(_part(state.lasting, only_lasting & (state.lasting.times <= boundary)))
        chosen = np.flatnonzero(state.recent.times > boundary)
        later.append((state.recent.times[chosen], state.recent.columns.take(chosen), state.recent.marks[chosen]))
    order = np.argsort(np.concatenate([t for t, _, _ in later]), kind="stable")
    marks = np.concatenate([m for _, _, m in later])[order]
    return Corpus(
        fit=_in_time_order(fit_parts),
        calibrate=Columns.concat([columns for _, columns, _ in later]).take(order),
        flagged=(marks & FLAGGED) > 0,
        ranges={
            f"{topic}/{state.partition}": [int(state.recent.offsets[0]), int(state.next_offset) - 1]
            for topic, state in held
            if len(state.recent)
        },
    )


def _without_worst(sample: Reservoir, champion: Detector, boundary: int) -> tuple[npt.NDArray[np.int64], Columns]:
    early = np.flatnonzero(sample.times <= boundary)
    columns = sample.columns.take(early)
    if not len(early):
        return sample.times[early], columns
    errors = champion.errors(champion.encoder.transform(columns))
    keep = np.sort(np.argsort(errors, kind="stable")[: len(errors) - int(WORST_SHARE * len(errors))])
    return sample.times[early][keep], columns.take(keep)


def _part(sample: Reservoir, mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], Columns]:
    chosen = np.flatnonzero(mask)
    return sample.times[chosen], sample.columns.take(chosen)


def _in_time_order(parts: list[tuple[npt.NDArray[np.int64], Columns]]) -> Columns:
    order = np.argsort(np.concatenate([times for times, _ in parts]), kind="stable")
    return Columns.concat([columns for _, columns in parts]).take(order)
