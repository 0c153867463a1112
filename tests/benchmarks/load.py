"""The stream of the benchmarks: records of about 230 bytes with ten features, on a Kafka of one node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import redis
import yaml

from tests.scenarios.stream import Stream
from tests.services.kafka import KafkaCluster
from training.history.lookback import featurize_rows
from training.learn.versioning import train_version
from worker.adapters.redis_registry import RedisRegistry
from worker.config.load import load
from worker.core.events.columns import from_table
from worker.ports.stores import Champion

NUMBERS = ["bytes_in", "bytes_out", "packets", "duration", "rtt", "retries", "score"]
CATEGORIES = {"protocol": ["tcp", "udp", "icmp"], "service": [f"svc-{i}" for i in range(12)], "zone": ["a", "b", "c"]}
FEATURES: list[dict[str, Any]] = [
    *({"field": name, "kind": "numeric"} for name in NUMBERS),
    *({"field": name, "kind": "categorical"} for name in CATEGORIES),
]


START_MS = 1_790_000_000_000
FITTED = 8_000


def table(rows: int, seed: int) -> dict[str, list[Any]]:
    """Columns of a stationary stream: correlated numbers and independent categories."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=rows)
    columns: dict[str, list[Any]] = {
        name: np.round(100 + 20 * (0.7 * shared + 0.7 * rng.normal(size=rows)), 3).tolist() for name in NUMBERS
    }
    for name, values in CATEGORIES.items():
        columns[name] = rng.choice(values, rows).tolist()
    return columns


RATES: list[dict[str, Any]] = [
    {"field": "bytes_in", "kind": "rate", "half_life": "60s"},
    {"field": "duration", "kind": "rate", "half_life": "60s"},
]


def hosts(rows: int, seed: int, entities: int) -> list[str]:
    """Entities drawn uniformly. If they are produced round robin to four partitions, each partition has its own."""
    drawn = 4 * np.random.default_rng(seed).integers(0, entities // 4, rows) + np.arange(rows) % 4
    return [f"host-{host:07d}" for host in drawn.tolist()]


def values(rows: int, seed: int, entities: int = 1_000, first: int = 0) -> list[bytes]:
    """`rows` events as JSON, one per millisecond, beginning with number `first`."""
    columns = table(rows, seed)
    names = list(columns)
    rows_ = zip(*columns.values(), strict=True)
    return [
        json.dumps({"host": host, "ts": START_MS + first + i, **dict(zip(names, row, strict=True))}).encode()
        for i, (host, row) in enumerate(zip(hosts(rows, seed, entities), rows_, strict=True))
    ]


def fill(cluster: KafkaCluster, topic: str, records: int, entities: int = 0, block: int = 50_000) -> int:
    """Fill the topic; returns the mean size of a value in bytes.

    Blocks repeat, times included, unless features look back at entities.
    """
    block_values = values(block, seed=1, entities=entities or 1_000)
    for i in range(records // block):
        if i and entities:
            block_values = values(block, seed=1 + i, entities=entities, first=i * block)
        cluster.produce(topic, block_values)
    return sum(map(len, block_values)) // len(block_values)


def configured(
    cluster: KafkaCluster,
    redis_url: str,
    folder: Path,
    name: str,
    /,
    *,
    entities: int = 0,
    gap_ms: float = 0.0,
    **sections: dict[str, Any],
) -> Stream:
    """Create topics, configuration and a trained first model.

    With `entities`, two rates look back at that many entities, each of which has an event every `gap_ms` of event time
    (0: the stream has one event per millisecond).
    """
    plain: dict[str, Any] = {
        "stream": name,
        "kafka": {"bootstrap_servers": cluster.bootstrap},
        "redis": {"url": redis_url},
        "event": {"entity": "host", **({"time": "ts"} if entities else {})},
        "features": [*FEATURES, *(RATES if entities else [])],
        "http": {"port": 0},
        **sections,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(plain))
    settings = load(path, {})
    for topic, partitions in ((name, 4), (settings.kafka.alerts, 4), (settings.kafka.dead_letters, 1)):
        cluster.create_topic(topic, partitions)
    setup = Stream(cluster, path, settings, redis.Redis.from_url(redis_url))
    promote(setup, entities, gap_ms=gap_ms)
    return setup


def promote(setup: Stream, entities: int = 0, version: int = 1, gap_ms: float = 0.0) -> None:
    """Train a model on rows that have their pasts as in the worker, after two events per entity, and promote it."""
    if gap_ms:  # an entity's past depends only on its own gaps, so a few entities suffice
        entities = min(entities, 2_000)
    settings, before = setup.settings, min((4 if gap_ms else 2) * entities, 400_000)
    columns = from_table(table(before + FITTED, seed=7), settings.spec)
    if entities:
        step = gap_ms / entities if gap_ms else 1.0
        times = (np.arange(before + FITTED) * step).astype(np.int64)
        columns = featurize_rows(settings, columns, hosts(before + FITTED, 7, entities), times)
    columns = columns.take(slice(before, None))
    trained = train_version(
        settings,
        columns,
        calibrate_on=None,
        version=version,
        parent=None,
        ranges={},
        seed=0,
        created_at="2026-01-01T00:00:00Z",
    )
    registry = RedisRegistry(setup.client, settings.stream)
    registry.put_bundle(trained.bundle)
    registry.put_threshold(trained.threshold)
    registry.promote(
        settings.spec.spec_hash,
        Champion(trained.bundle.digest, trained.threshold.digest(), registry.next_version(), registry.next_token()),
    )
