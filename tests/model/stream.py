"""The stream of the schedules: its configuration, events with known anomalies, and versions that score them."""

from __future__ import annotations

import json
import random
from functools import cache

import numpy as np

from tests.model.broker import Record
from tests.model.stores import MemoryRegistry
from tests.scenarios.stream import FEATURES, anomalous, normal, table_of
from training.history.lookback import featurize_rows
from training.learn.versioning import Trained, train_version
from worker.config.settings import Settings
from worker.core.events.columns import from_table
from worker.core.model.serving_model import ServingModel, Versions
from worker.partitions.model_feed import ModelFeed

START_MS = 1_800_000_000_000
STEP_MS = 7_000
"""Event time between a partition's records: incidents open, are held back, updated and closed within a schedule."""
ANOMALOUS, BAD, TOMBSTONE, MARKER = 0.08, 0.03, 0.02, 0.03

SETTINGS = Settings.model_validate(
    {
        "stream": "events",
        "event": {"entity": "host", "time": "ts"},
        "features": [
            *FEATURES,
            {"field": "bytes", "kind": "rate", "half_life": "60s"},
            {"field": "bytes", "kind": "delta", "per": "second"},
            {"field": "duration", "kind": "unchanged"},
        ],
        "alerts": {"cooldown": "60s"},
        "state": {"snapshot_every": "1s", "entities": 5},
    }
)


class Events:
    """The records of one partition, one after the other. There are more hosts than the state remembers."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._numbers = np.random.default_rng(seed)
        self._count = 0

    def next(self, timestamp: int) -> Record | None:
        """The next record, or None for a transaction marker. `timestamp` in ms."""
        self._count += 1
        draw = self._rng.random()
        if draw < MARKER:
            return None
        if draw < MARKER + BAD:
            return Record(timestamp, b"k", b'{"bytes": broken')
        if draw < MARKER + BAD + TOMBSTONE:
            return Record(timestamp, b"k", None)
        event = (anomalous if draw > 1 - ANOMALOUS else normal)(self._numbers, self._count)
        late = self._rng.choice((0, 0, 0, 0, 10 * STEP_MS))
        event["ts"] = (START_MS + self._count * STEP_MS - late) / 1_000
        return Record(timestamp, b"k", json.dumps(event).encode())

    def many(self, count: int) -> list[Record | None]:
        """`count` records or markers, a second apart."""
        return [self.next(START_MS + 1_000 * i) for i in range(count)]


@cache
def versions() -> tuple[Trained, ...]:
    """Three versions whose scores are similar but not the same."""
    rng = np.random.default_rng(99)
    plain = [normal(rng, i) for i in range(300)]
    spec = SETTINGS.spec
    times = START_MS + STEP_MS * np.arange(len(plain), dtype=np.int64)
    rows = featurize_rows(SETTINGS, from_table(table_of(plain), spec), [e["host"] for e in plain], times)
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


@cache
def serving_model(number: int) -> ServingModel:
    """Version `number`, ready to score with."""
    version, registry = versions()[number - 1], MemoryRegistry()
    registry.put_version(version)
    feed = ModelFeed(registry, SETTINGS.spec.spec_hash)
    return feed.model_of(Versions(version.bundle.digest, version.threshold.digest()))
