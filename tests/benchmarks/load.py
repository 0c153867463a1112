"""The benchmark's stream: records of about 230 bytes with ten features, on a Kafka of one node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import redis
import yaml

from tests.scenarios.stream import Stream
from tests.services.kafka import KafkaCluster
from training.versioning import train_version
from worker.adapters.redis_registry import RedisRegistry
from worker.configuration import load
from worker.core.columns import from_table
from worker.ports import Champion

NUMBERS = ["bytes_in", "bytes_out", "packets", "duration", "rtt", "retries", "score"]
CATEGORIES = {"protocol": ["tcp", "udp", "icmp"], "service": [f"svc-{i}" for i in range(12)], "zone": ["a", "b", "c"]}
FEATURES: list[dict[str, Any]] = [
    *({"field": name, "kind": "numeric"} for name in NUMBERS),
    *({"field": name, "kind": "categorical"} for name in CATEGORIES),
]


def table(rows: int, seed: int) -> dict[str, list[Any]]:
    """Stationary: correlated numbers and independent categories."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=rows)
    columns: dict[str, list[Any]] = {
        name: np.round(100 + 20 * (0.7 * shared + 0.7 * rng.normal(size=rows)), 3).tolist() for name in NUMBERS
    }
    for name, values in CATEGORIES.items():
        columns[name] = rng.choice(values, rows).tolist()
    return columns


def values(rows: int, seed: int) -> list[bytes]:
    columns = table(rows, seed)
    names = list(columns)
    return [
        json.dumps({"host": f"host-{i % 1000:04d}", **dict(zip(names, row, strict=True))}).encode()
        for i, row in enumerate(zip(*columns.values(), strict=True))
    ]


def configured(cluster: KafkaCluster, redis_url: str, folder: Path, name: str, **sections: dict[str, Any]) -> Stream:
    """Topics, configuration and a trained first model."""
    plain: dict[str, Any] = {
        "stream": name,
        "kafka": {"bootstrap_servers": cluster.bootstrap},
        "redis": {"url": redis_url},
        "event": {"entity": "host"},
        "features": FEATURES,
        "http": {"port": 0},
        **sections,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(plain))
    settings = load(path, {})
    for topic, partitions in ((name, 4), (settings.kafka.alerts, 4), (settings.kafka.dead_letters, 1)):
        cluster.create_topic(topic, partitions)
    made = Stream(cluster, path, settings, redis.Redis.from_url(redis_url))
    trained = train_version(
        settings, from_table(table(8_000, seed=7), settings.spec), calibrate_on=None, version=1, parent=None,
        ranges={}, seed=0, created_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    registry = RedisRegistry(made.client, name)
    registry.put_bundle(trained.bundle)
    registry.put_threshold(trained.threshold)
    registry.promote(
        settings.spec.spec_hash,
        Champion(trained.bundle.digest, trained.threshold.digest(), registry.next_version(), registry.next_token()),
    )
    return made
