"""The stream of the schedules: its configuration, events with known anomalies, and versions that judge them."""

from __future__ import annotations

import json
import random
from functools import cache

import numpy as np

from tests.model.broker import Record
from tests.scenarios.stream import FEATURES, anomalous, normal
from training.history.lookback import featurize_rows
from training.learn.versioning import Trained, train_version
from worker.config.settings import Settings
from worker.core.events.columns import from_table

START_MS = 1_800_000_000_000
STEP_MS = 7_000
"""Event time between a partition's records: incidents open, are held back, updated and closed within a schedule."""
ANOMALOUS, BAD, TOMBSTONE, MARKER = 0.08, 0.03, 0.02, 0.03

SETTINGS = Settings.model_validate(
    {
        "stream": "events",
        "event": {"entity": "host", "time": "ts"},
        "features": [*FEATURES, {"field": "bytes", "kind": "rate", "half_life": "60s"}],
        "alerts": {"cooldown": "60s"},
        "state": {"snapshot_every": "1s", "entities": 5},
    }
)


class Events:
    """Records of one partition after the other's; hosts come and go, more of them than are remembered."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._numbers = np.random.default_rng(seed)
        self._count = 0

    def next(self, timestamp: int) -> Record | None:
        self._count += 1
        kind = self._rng.random()
        if kind < MARKER:
            return None
        if kind < MARKER + BAD:
            return Record(timestamp, b"k", b'{"bytes": broken')
        if kind < MARKER + BAD + TOMBSTONE:
            return Record(timestamp, b"k", None)
        event = (anomalous if kind > 1 - ANOMALOUS else normal)(self._numbers, self._count)
        late = self._rng.choice((0, 0, 0, 0, 10 * STEP_MS))
        event["ts"] = (START_MS + self._count * STEP_MS - late) / 1_000
        return Record(timestamp, b"k", json.dumps(event).encode())


@cache
def versions() -> tuple[Trained, ...]:
    """Three that judge alike but not the same."""
    rng = np.random.default_rng(99)
    plain = [normal(rng, i) for i in range(300)]
    table = {"bytes": [e["bytes"] for e in plain], "duration": [e["duration"] for e in plain],
             "proto.name": [e["proto"]["name"] for e in plain]}  # fmt: skip
    spec = SETTINGS.spec
    times = START_MS + STEP_MS * np.arange(len(plain), dtype=np.int64)
    rows = featurize_rows(SETTINGS, from_table(table, spec), [e["host"] for e in plain], times)
    return tuple(
        train_version(
            SETTINGS,
            rows,
            calibrate_on=None,
            version=number,
            parent=None,
            ranges={},
            seed=number,
            created_at=f"2026-01-0{number}T00:00:00Z",
        )
        for number in (1, 2, 3)
    )
