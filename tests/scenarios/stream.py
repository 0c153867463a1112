"""A small stream for the scenarios: events with known anomalies, a model for them, and workers as processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import redis
import yaml
from confluent_kafka import Message

from tests.services.kafka import KafkaCluster
from training.learn.versioning import train_version
from worker.adapters.kafka_commits import GroupCommits
from worker.adapters.redis_registry import RedisRegistry
from worker.adapters.redis_snapshots import RedisSnapshots
from worker.config.load import load
from worker.config.settings import Settings
from worker.core.events.columns import from_table
from worker.core.state.capture import restore_state
from worker.core.state.commit_metadata import CommitMetadata
from worker.ports.stores import Champion

FEATURES = [
    {"field": "bytes", "kind": "numeric", "transform": "log"},
    {"field": "duration", "kind": "numeric"},
    {"field": "proto.name", "kind": "categorical"},
]


def normal(rng: np.random.Generator, i: int) -> dict[str, Any]:
    """An event in which `bytes` and `duration` are correlated, of one of two protocols."""
    size = float(np.exp(rng.normal(8.0, 0.5)))
    return {
        "id": i,
        "host": f"h{i % 7}",
        "bytes": round(size, 2),
        "duration": round(float(np.log(size) + rng.normal(0, 0.1)), 4),
        "proto": {"name": str(rng.choice(["tcp", "udp"], p=[0.8, 0.2]))},
    }


def anomalous(rng: np.random.Generator, i: int) -> dict[str, Any]:
    """An event that breaks the correlation."""
    return {**normal(rng, i), "duration": 60.0}


def events(count: int, every: int, seed: int = 1) -> list[dict[str, Any]]:
    """`count` events, of which every `every`-th is an anomaly."""
    rng = np.random.default_rng(seed)
    return [(anomalous if i % every == every - 1 else normal)(rng, i) for i in range(count)]


def table_of(plain: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The fields of `FEATURES`, as columns."""
    return {
        "bytes": [event["bytes"] for event in plain],
        "duration": [event["duration"] for event in plain],
        "proto.name": [event["proto"]["name"] for event in plain],
    }


def encoded(plain: Sequence[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(event).encode() for event in plain]


@dataclass
class Stream:
    """One stream's configuration, topics and registry."""

    kafka: KafkaCluster
    path: Path
    settings: Settings
    client: redis.Redis

    @property
    def registry(self) -> RedisRegistry:
        return RedisRegistry(self.client, self.settings.stream)

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts but the closing ones."""
        alerts = [json.loads(m.value() or b"") for m in self.kafka.read_committed(self.settings.kafka.alerts)]
        return [alert for alert in alerts if alert["status"] != "closed"]

    def flagged_ids(self) -> list[int]:
        return sorted(alert["event"]["id"] for alert in self.alerts())

    def comparable(self) -> dict[str, dict[str, Any]]:
        """All alerts by id, without the fields that differ between runs. Fails if an id is there twice."""
        alerts: dict[str, dict[str, Any]] = {}
        for message in self.kafka.read_committed(self.settings.kafka.alerts):
            alert = json.loads(message.value() or b"")
            assert alert["alert_id"] not in alerts, f"twice: {alert['alert_id']}"
            alerts[alert["alert_id"]] = {k: v for k, v in alert.items() if k not in ("detected_at", "stream")}
        return alerts

    def state_bytes(self) -> dict[int, tuple[int, bytes]]:
        """By partition: offset and encoded state of the newest snapshot that the commit names."""
        kafka = self.settings.kafka
        commits = GroupCommits(kafka.bootstrap_servers, kafka.group, kafka.events, {}).read()
        store = RedisSnapshots(self.client, self.settings.stream)
        states = {}
        for source, commit in commits.items():
            base = CommitMetadata.decode(commit.metadata).bases[-1]
            snapshot = store.get(source.topic, source.partition, base.snapshot)
            assert snapshot is not None
            state = restore_state(snapshot, self.settings.spec, 0, self.settings.bounds)
            states[source.partition] = (snapshot.offset, state.encode())
        return states

    def train(self, version: int = 1, seed: int = 0) -> None:
        """Train a model on normal events, and promote it."""
        rng = np.random.default_rng(99)
        columns = from_table(table_of([normal(rng, i) for i in range(3_000)]), self.settings.spec)
        trained = train_version(
            self.settings,
            columns,
            calibrate_on=None,
            version=version,
            parent=None,
            ranges={},
            seed=seed,
            created_at=f"2026-01-0{version}T00:00:00Z",
        )
        registry = self.registry
        registry.put_bundle(trained.bundle)
        registry.put_threshold(trained.threshold)
        champion = Champion(trained.bundle.digest, trained.threshold.digest(), version, registry.next_token())
        assert registry.promote(self.settings.spec.spec_hash, champion)


def make(
    cluster: KafkaCluster,
    redis_url: str,
    folder: Path,
    name: str,
    /,
    *,
    partitions: int = 2,
    **sections: Any,
) -> Stream:
    """Create the topics and write the configuration; `sections` are merged into its YAML."""
    plain: dict[str, Any] = {
        "stream": name,
        "kafka": {"bootstrap_servers": cluster.bootstrap},
        "redis": {"url": redis_url},
        "event": {"entity": "host"},
        "features": FEATURES,
        "threshold": {"alert_rate": 0.001},
        "alerts": {"cooldown": 0},
        "state": {"snapshot_every": 0.5},
        "http": {"port": 0},
    }
    for section, values in sections.items():
        plain[section] = {**plain.get(section, {}), **values} if isinstance(values, dict) else values
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(plain))
    settings = load(path, {})
    topics = {settings.kafka.alerts: partitions, settings.kafka.dead_letters: 1}
    if "events" not in sections.get("kafka", {}):
        topics[name] = partitions
    for topic, count in topics.items():
        cluster.create_topic(topic, count)
    return Stream(cluster, path, settings, redis.Redis.from_url(redis_url))


def headers_of(message: Message) -> dict[str, str]:
    return {name: bytes(value or b"").decode() for name, value in message.headers() or []}  # type: ignore[str-unpack,arg-type]
