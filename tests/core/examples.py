"""Small mixed data for the core's tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns, objects
from worker.core.events.event_time import EventTimes
from worker.core.events.spec import FeatureSpec
from worker.core.model.histogram import bucket_of
from worker.core.state.partition_state import ScoredRows

SPEC = FeatureSpec.model_validate(
    {
        "features": [
            {"field": "a", "kind": "numeric"},
            {"field": "b", "kind": "numeric", "transform": "log"},
            {"field": "c", "kind": "categorical", "levels": 4},
            {"field": "d", "kind": "boolean"},
            {"field": "e", "kind": "cyclic", "period": "day"},
        ]
    }
)


def rows(count: int, seed: int = 0, missing: float = 0.0) -> Columns:
    """b goes with a, d with c; `missing` is the share of values that are not there."""
    rng = np.random.default_rng(seed)
    a = rng.normal(5.0, 2.0, count)
    b = np.exp(0.5 * a + rng.normal(0.0, 0.1, count))
    c = rng.choice(["x", "y", "z", "w", "rare"], count, p=[0.5, 0.3, 0.1, 0.09, 0.01])
    d = (c == "x").astype(np.float64)
    e = rng.uniform(0, 86_400, count)
    values = [a, b, objects(c.tolist()), d, e]
    for column in values:
        gone = rng.random(count) < missing
        column[gone] = None if column.dtype == object else np.nan
    return Columns(tuple(values))


def scored_rows(columns: Columns, offsets: npt.NDArray[np.int64], seed: int = 0) -> ScoredRows:
    """Rows with errors and verdicts that depend on their offsets alone."""
    errors = ((offsets * 2_654_435_761 % 1_000) / 100 + 0.01).astype(np.float32)
    times = offsets * 1_000
    buckets = bucket_of(errors / np.float32(10))
    return ScoredRows(offsets, EventTimes(times, times, 0), columns, errors, buckets, errors > 9.5, errors < 9.0)
