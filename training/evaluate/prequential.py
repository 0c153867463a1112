"""Prequential evaluation: each row is scored before the model is trained on it, by the code of worker and trainer.

The first rows train the first version and are not scored. From then on rows are scored and folded into a partition's
state as in the worker, and further versions are trained from that state as in the trainer. Labels are never used.
Source: Gama, Sebastião and Rodrigues, "On evaluating stream learning algorithms", Machine Learning 90, 2013.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from training.evaluate.noise_control import Arrivals
from training.learn.corpus import corpus_of
from training.learn.live_counts import LiveCounts
from training.learn.schedule import due_after
from training.learn.versioning import Trained, train_version
from worker.config.settings import Settings
from worker.core.events.columns import Columns
from worker.core.events.decode import Decoded
from worker.core.events.entity_names import AttributeNames
from worker.core.model.bundle import Change
from worker.core.model.detector import MEMBERS, SURPRISES, Detector
from worker.core.model.serving_model import ServingModel, Signatures, Versions
from worker.core.model.threshold import Threshold
from worker.core.state.incidents import IncidentChange
from worker.core.state.partition_state import PartitionState, ScoredRows
from worker.core.step import Featurized, flagged_records, score

MIN_WARMUP, MAX_WARMUP, WARMUP_SHARE = 32, 2_048, 0.05
_CHUNK = 4_096
_SOURCE = "evaluate/0"
"""The name of the one partition, as in a bundle's ranges."""
_CREATED = "1970-01-01T00:00:00.000Z"
"""Bundles of an evaluation carry no wall-clock time, so that two runs give the same digests."""

Progress = Callable[[int, int, int], None]
"""Called with the number of rows done, the number of rows in all, and the number of versions served."""


@dataclass(slots=True)
class Outcome:
    """The scores of n rows, those from row `first` on, and their arrivals.

    `error` (n,) float32; `members` (n, 5) float32, the errors that it is made of: those of the
    three members, and those that are as rare as the two surprises; `p_value` (n,)
    float64; `flagged` (n,) bool; `alerted` (n,) bool, the flagged rows that the worker would have published as alerts;
    `version` (n,) int64, the version that scored each row. `served` holds detector and threshold of each version that
    served. `rejected` counts the challengers that the gate rejected. `changes` are what has changed for good
    in the rows, each with the version whose training told it.
    """

    first: int
    error: npt.NDArray[np.float32]
    members: npt.NDArray[np.float32]
    p_value: npt.NDArray[np.float64]
    flagged: npt.NDArray[np.bool_]
    alerted: npt.NDArray[np.bool_]
    version: npt.NDArray[np.int64]
    arrivals: Arrivals
    served: dict[int, tuple[Detector, Threshold]] = field(default_factory=dict)
    learn_seconds: float = 0.0
    score_seconds: float = 0.0
    rejected: int = 0
    changes: list[tuple[int, Change]] = field(default_factory=list)


def warmup_rows(rows: int) -> int:
    """The default number of rows to train on before the first is scored: 5 %, at least 32, at most 2,048."""
    return max(MIN_WARMUP, min(MAX_WARMUP, int(WARMUP_SHARE * rows)))


def one_second_per_row(rows: int) -> npt.NDArray[np.int64]:
    """Event times (rows,) int64 in ms, for a file without times."""
    return np.arange(rows, dtype=np.int64) * 1_000


def evaluate(
    settings: Settings,
    columns: Columns,
    *,
    warmup: int,
    seed: int,
    arrivals: Arrivals | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Evaluate the rows of `columns` in order.

    `arrivals` are of all rows; by default they are one second apart and of one entity. Incidents begin with the first
    scored row. Raises ValueError if the warm-up is too small to train on, or leaves no row to score.
    """
    if not MIN_WARMUP <= warmup < len(columns):
        raise ValueError(f"a warm-up of {warmup} rows; allowed: {MIN_WARMUP} to {len(columns) - 1} of {len(columns)}")
    if arrivals is None:
        arrivals = Arrivals.of([None] * len(columns), one_second_per_row(len(columns)))
    run = _Run(settings, columns, arrivals, warmup, seed)
    run.learn_first()
    while run.at < len(columns):
        run.score_until(min(len(columns), run.at + due_after(run.at, settings.fine_tune.events)), progress)
        if run.at < len(columns):
            run.learn()
    return run.outcome


class _Run:
    def __init__(self, settings: Settings, columns: Columns, arrivals: Arrivals, warmup: int, seed: int) -> None:
        self._settings = settings
        self._columns = columns
        self._arrivals = arrivals
        self._seed = seed
        self.at = warmup
        n = len(columns) - warmup
        self.outcome = Outcome(
            warmup,
            np.empty(n, np.float32),
            np.empty((n, len(MEMBERS) + len(SURPRISES)), np.float32),
            np.empty(n),
            np.empty(n, np.bool_),
            np.zeros(n, np.bool_),
            np.empty(n, np.int64),
            arrivals.take(slice(warmup, None)),
        )
        cooldown_ms = int(settings.alerts.cooldown * 1000)
        self._state = PartitionState(settings.spec, f"evaluate-{seed}", 0, 0, cooldown_ms)
        self._live = LiveCounts()
        self._versions = 0
        self._serving: Trained | None = None
        self._model: ServingModel | None = None

    def learn_first(self) -> None:
        began = time.perf_counter()
        first, times = self._columns.take(slice(0, self.at)), self._arrivals.times.times[: self.at]
        self._promote(self._train(first, None, {_SOURCE: [0, self.at - 1]}, None, times))
        self.outcome.learn_seconds += time.perf_counter() - began
        for start in range(0, self.at, _CHUNK):
            self._fold(start, min(self.at, start + _CHUNK))

    def learn(self) -> None:
        began = time.perf_counter()
        assert self._serving is not None
        counted = self._serving.bundle.manifest.data
        corpus = corpus_of(self._settings.spec, [("evaluate", self._state)], counted)
        calibrate = corpus.calibrate if len(corpus.calibrate) >= MIN_WARMUP else corpus.fit
        trained = self._train(corpus.fit, calibrate, corpus.ranges, corpus.fresh, corpus.times)
        if trained.refusals:
            self.outcome.rejected += 1
        else:
            self._promote(trained)
        self.outcome.learn_seconds += time.perf_counter() - began

    def _train(
        self,
        rows: Columns,
        calibrate_on: Columns | None,
        ranges: dict[str, list[int]],
        fresh: npt.NDArray[np.bool_] | None,
        times: npt.NDArray[np.int64],
    ) -> Trained:
        self._versions += 1
        serving = self._serving
        trained = train_version(
            self._settings,
            rows,
            calibrate_on=calibrate_on,
            version=self._versions,
            parent=(serving.bundle, serving.threshold) if serving is not None else None,
            ranges=ranges,
            fresh=fresh,
            times=times,
            seed=self._seed * 10_007,
            created_at=_CREATED,
            live=self._live.fresh([("evaluate", self._state)], self._state.versions.bundle) if serving else None,
        )
        self.outcome.changes += [(self._versions, change) for change in trained.changes]
        return trained

    def _promote(self, trained: Trained) -> None:
        versions = Versions(trained.bundle.digest, trained.threshold.digest())
        self._serving = trained
        self._model = ServingModel.of(versions, trained.bundle, trained.threshold, Signatures(None, None))
        self._state.adopt(versions)
        self._live.begin([("evaluate", self._state)], versions.bundle)
        self.outcome.served[self._model.version] = (self._model.detector, trained.threshold)

    def score_until(self, stop: int, progress: Progress | None) -> None:
        began = time.perf_counter()
        assert self._serving is not None
        while self.at < stop:
            end = min(stop, self.at + _CHUNK)
            rows, scored = slice(self.at - self.outcome.first, end - self.outcome.first), self._fold(self.at, end)
            out, threshold = self.outcome, self._serving.threshold
            out.error[rows], out.flagged[rows] = scored.errors, scored.flagged
            out.p_value[rows] = threshold.p_values(scored.errors)
            out.version[rows] = self._serving.bundle.manifest.version
            self.at = end
        self.outcome.score_seconds += time.perf_counter() - began
        if progress is not None:
            progress(self.at, len(self._columns), len(self.outcome.served))

    def _fold(self, start: int, stop: int) -> ScoredRows:
        """Score rows and fold them into the partition's state, as the worker does."""
        assert self._model is not None
        offsets, arrived = np.arange(start, stop, dtype=np.int64), self._arrivals.take(slice(start, stop))
        featurized = Featurized(
            index=np.arange(stop - start, dtype=np.intp),
            offsets=offsets,
            timestamps=np.full(stop - start, -1, np.int64),
            times=arrived.times,
            columns=self._columns.take(slice(start, stop)),
        )
        _, scores, rows = score(self._model, featurized)
        first = self.outcome.first
        if start >= first:
            place = slice(start - first, stop - first)
            self.outcome.members[place] = np.column_stack((scores.members, *scores.equivalents[1:]))
            self._alert(self._model, featurized, rows, arrived)
        else:
            self._state.fold(rows, ())
        self._state.next_offset = stop
        return rows

    def _alert(self, model: ServingModel, featurized: Featurized, rows: ScoredRows, arrived: Arrivals) -> None:
        """Fold scored rows with the evidence of the flagged ones, and note which of them are published."""
        decoded = Decoded(
            index=featurized.index,
            columns=featurized.columns,
            times=arrived.times.times.astype(np.float64),
            rejects=[],
            tombstones=0,
            names=AttributeNames(lambda entity: entity, arrived.entities),
        )
        for change in self._state.fold(rows, flagged_records(model, decoded, featurized, rows, lambda _: None)):
            if isinstance(change, IncidentChange):
                self.outcome.alerted[change.record.offset - self.outcome.first] = change.publish
