"""Steps and outputs with chosen numbers, for the tests of counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from worker.core.events.columns import Columns
from worker.core.events.decode import Decoded
from worker.core.events.entity_names import AttributeNames
from worker.core.events.event_time import EventTimes
from worker.core.events.rejects import Reject, RejectCode
from worker.core.model.detector import Scores
from worker.core.model.encoder import Encoded
from worker.core.state.incidents import Evidence, Flagged, IncidentChange
from worker.core.state.partition_state import ScoredRows
from worker.core.step import Featurized, Step
from worker.ports.log import Output, TopicPartition

NOW_MS = 1_767_225_600_000
SOURCE = TopicPartition("flows", 3)


def scored(flagged: list[bool], delays_ms: list[int]) -> ScoredRows:
    """One row per entry, `delays_ms` before now."""
    n = len(flagged)
    times = NOW_MS - np.array(delays_ms, np.int64)
    return ScoredRows(
        offsets=np.arange(n),
        times=EventTimes(times, times, future=2),
        columns=Columns(()),
        errors=np.ones(n, np.float32),
        p_buckets=np.zeros(n, np.int64),
        flagged=np.array(flagged),
        trainable=np.ones(n, np.bool_),
    )


def encoded(missing: list[list[bool]], out_of_range: list[list[bool]]) -> Encoded:
    none = np.zeros((0, 0))
    return Encoded(
        none.astype(np.float32), none.astype(np.int64), np.array(missing, bool), np.array(out_of_range, bool)
    )


def decoded(tombstones: int, *codes: RejectCode) -> Decoded:
    rejects = [Reject(i, code, ("some reason",)) for i, code in enumerate(codes)]
    return Decoded(np.arange(0), Columns(()), np.empty(0), rejects, tombstones, AttributeNames(None, ()))


def step(rows: ScoredRows, encoded: Encoded, changes: Sequence[IncidentChange] = ()) -> Step:
    """A step in which five records were late and four entities evicted."""
    featurized = Featurized(np.arange(len(rows.offsets)), rows.offsets, rows.offsets, rows.times, rows.columns, 4, 5)
    return Step(featurized, encoded, cast(Scores, None), rows, list(changes))


def held_back() -> IncidentChange:
    evidence = Evidence(0.01, 1.0, 0.5, 9, 1, "denoising", backfill=False)
    return IncidentChange(Flagged("a", 0, 0, 0, 0, evidence), False, "update", 0, 0, 0, 2, False)


def output(kind: str, status: str = "", severity: str = "") -> Output:
    return Output(SOURCE, "topic", None, b"", (), kind, status, severity)
