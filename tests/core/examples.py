"""Small data of all kinds for the tests of the core."""

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
    """`count` rows in which b depends on a, and d on c. `missing` is the share of missing values."""
    rng = np.random.default_rng(seed)
    a = rng.normal(5.0, 2.0, count)
    b = np.exp(0.5 * a + rng.normal(0.0, 0.1, count))
    c = rng.choice(["x", "y", "z", "w", "rare"], count, p=[0.5, 0.3, 0.1, 0.09, 0.01])
    d = (c == "x").astype(np.float64)
    e = rng.uniform(0, 86_400, count)
    values = [a, b, objects(c.tolist()), d, e]
    for column in values:
        absent = rng.random(count) < missing
        column[absent] = None if column.dtype == object else np.nan
    return Columns(tuple(values))


def scored_rows(columns: Columns, offsets: npt.NDArray[np.int64], seed: int = 0) -> ScoredRows:
    """Scored rows whose errors and verdicts depend on their offsets alone."""
    errors = ((offsets * 2_654_435_761 % 1_000) / 100 + 0.01).astype(np.float32)
    times = offsets * 1_000
    buckets = bucket_of(errors / np.float32(10))
    return ScoredRows(offsets, EventTimes(times, times, 0), columns, errors, buckets, errors > 9.5, errors < 9.0)


SHIPMENTS = FeatureSpec.model_validate(
    {
        "features": [
            {"field": "carrier", "kind": "categorical"},
            {"field": "zone", "kind": "categorical"},
            {"field": "price", "kind": "numeric"},
        ]
    }
)


def shipments(n: int, seed: int = 0) -> Columns:
    """Carrier a goes to zones 0 and 1 at about 10, carrier b to zones 2 and 3 at about 50."""
    rng = np.random.default_rng(seed)
    b = rng.random(n) < 0.4
    zone = rng.integers(0, 2, n) + 2 * b
    price = np.where(b, 50.0, 10.0) + rng.normal(0, 1, n)
    return Columns((objects(np.where(b, "b", "a").tolist()), objects([str(z) for z in zone]), price))
