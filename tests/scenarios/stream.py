"""A small stream for the scenarios: events whose anomalies are known, a model for it, and workers as processes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import redis
import yaml
from confluent_kafka import Message

from tests.services.forked import ForkedProcess
from tests.services.kafka import KafkaCluster
from training.learn.versioning import train_version
from worker.adapters.kafka_commits import GroupCommits
from worker.adapters.redis_registry import RedisRegistry
from worker.adapters.redis_snapshots import RedisSnapshots
from worker.config.load import load
from worker.config.settings import Settings
from worker.core.events.columns import from_table
from worker.core.state.capture import restore_state
from worker.core.state.commit_metadata import EMPTY, CommitMetadata
from worker.ports.log import LogUnavailable
from worker.ports.stores import Champion

FEATURES = [
    {"field": "bytes", "kind": "numeric", "transform": "log"},
    {"field": "duration", "kind": "numeric"},
    {"field": "proto.name", "kind": "categorical"},
]


def normal(rng: np.random.Generator, i: int) -> dict[str, Any]:
    """bytes and duration go together; two protocols."""
    size = float(np.exp(rng.normal(8.0, 0.5)))
    return {
        "id": i,
        "host": f"h{i % 7}",
        "bytes": round(size, 2),
        "duration": round(float(np.log(size) + rng.normal(0, 0.1)), 4),
        "proto": {"name": str(rng.choice(["tcp", "udp"], p=[0.8, 0.2]))},
    }


def anomalous(rng: np.random.Generator, i: int) -> dict[str, Any]:
    return {**normal(rng, i), "duration": 60.0}


def events(count: int, every: int, seed: int = 1) -> list[dict[str, Any]]:
    """`count` events, each `every`-th an anomaly."""
    rng = np.random.default_rng(seed)
    return [(anomalous if i % every == every - 1 else normal)(rng, i) for i in range(count)]


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
        found = [json.loads(m.value() or b"") for m in self.kafka.read_committed(self.settings.kafka.alerts)]
        return [alert for alert in found if alert["status"] != "closed"]

    def flagged_ids(self) -> list[int]:
        return sorted(alert["event"]["id"] for alert in self.alerts())

    def comparable(self) -> dict[str, dict[str, Any]]:
        """Alerts by id, closed ones too, without what names this run; an id twice fails here."""
        found: dict[str, dict[str, Any]] = {}
        for message in self.kafka.read_committed(self.settings.kafka.alerts):
            alert = json.loads(message.value() or b"")
            assert alert["alert_id"] not in found, f"twice: {alert['alert_id']}"
            found[alert["alert_id"]] = {k: v for k, v in alert.items() if k not in ("detected_at", "stream")}
        return found

    def state_bytes(self) -> dict[int, tuple[int, bytes]]:
        """Per partition of the first topic: offset and state of the newest snapshot that the commit names."""
        kafka = self.settings.kafka
        answers = GroupCommits(kafka.bootstrap_servers, kafka.group, kafka.events, {}).read()
        store = RedisSnapshots(self.client, self.settings.stream)
        found = {}
        for source, answer in answers.items():
            base = CommitMetadata.decode(answer.metadata).bases[-1]
            snapshot = store.get(source.topic, source.partition, base.snapshot)
            assert snapshot is not None
            state = restore_state(snapshot, self.settings.spec, 0, self.settings.bounds)
            found[source.partition] = (snapshot.offset, state.encode())
        return found

    def train(self, version: int = 1, seed: int = 0) -> None:
        """A first model from normal events, promoted."""
        rng = np.random.default_rng(99)
        plain = [normal(rng, i) for i in range(3_000)]
        columns = {"bytes": [e["bytes"] for e in plain], "duration": [e["duration"] for e in plain],
                   "proto.name": [e["proto"]["name"] for e in plain]}  # fmt: skip
        trained = train_version(
            self.settings, from_table(columns, self.settings.spec), calibrate_on=None, version=version, parent=None,
            ranges={}, seed=seed, created_at=f"2026-01-0{version}T00:00:00Z",
        )  # fmt: skip
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
    """Topics and configuration; `sections` are merged into the YAML."""
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


class WorkerProcess:
    """`offbeat run` as a process of its own, with its log lines."""

    def __init__(
        self,
        stream: Stream,
        instance: str,
        folder: Path,
        dies: tuple[str, int] | None = None,
        *,
        trainer: bool = False,
    ) -> None:
        self.log = folder / f"{stream.settings.stream}-{instance}-{time.monotonic_ns()}.log"
        self.log.touch()
        module, *arguments = self._command(stream, dies)
        environment = {**os.environ, "OFFBEAT_INSTANCE": instance, "OMP_NUM_THREADS": "1"}
        self.process = ForkedProcess(module, [*arguments, *["--with-trainer"] * trainer], environment, self.log)

    @staticmethod
    def _command(stream: Stream, dies: tuple[str, int] | None) -> list[str]:
        if dies is not None:
            return ["tests.scenarios.dying", str(stream.path), dies[0], str(dies[1])]
        return ["worker.cli", "run", "-c", str(stream.path), "--log-level", "debug"]

    def events(self, name: str) -> list[dict[str, Any]]:
        found = []
        for line in self.log.read_text("utf-8", "replace").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("event") == name:
                found.append(event)
        return found

    def wait_for(self, name: str, count: int = 1, seconds: float = 60.0) -> list[dict[str, Any]]:
        deadline = time.monotonic() + seconds
        while len(found := self.events(name)) < count:
            assert self.process.poll() is None, f"ended with {self.process.poll()}:\n{self.tail()}"
            assert time.monotonic() < deadline, f"no {count} x {name!r} in {seconds} s:\n{self.tail()}"
            time.sleep(0.05)
        return found

    def tail(self) -> str:
        return self.log.read_text("utf-8", "replace")[-4_000:]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM and wait; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds: float = 60.0) -> int:
        return self.process.wait(seconds)

    def kill9(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()


@contextmanager
def worker(
    stream: Stream, instance: str, folder: Path, dies: tuple[str, int] | None = None, *, trainer: bool = False
) -> Iterator[WorkerProcess]:
    process = WorkerProcess(stream, instance, folder, dies, trainer=trainer)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.kill9()


def committed(stream: Stream) -> int:
    """The sum of the group's committed offsets; 0 while the broker cannot tell."""
    kafka = stream.settings.kafka
    try:
        answers = GroupCommits(kafka.bootstrap_servers, kafka.group, kafka.events, {}).read()
    except LogUnavailable:
        return 0
    return sum(answer.offset or 0 for answer in answers.values())


def await_committed(stream: Stream, records: int, *processes: WorkerProcess, seconds: float = 60.0) -> None:
    """Until the group has committed at least so many records."""
    deadline = time.monotonic() + seconds
    while (now := committed(stream)) < records:
        for process in processes:
            assert process.process.poll() is None, f"ended with {process.process.poll()}:\n{process.tail()}"
        assert time.monotonic() < deadline, f"{now} of {records} committed:\n{processes[0].tail()}"
        time.sleep(0.1)


def await_named(stream: Stream, partitions: int = 2, seconds: float = 30.0) -> None:
    """Until every partition's stable commit names a snapshot that Redis has."""
    kafka, deadline = stream.settings.kafka, time.monotonic() + seconds
    commits = GroupCommits(kafka.bootstrap_servers, kafka.group, kafka.events, {})
    while True:
        bases = [CommitMetadata.decode(answer.metadata).bases[-1] for answer in commits.read().values()]
        if len(bases) == partitions and all(base.snapshot != EMPTY for base in bases):
            return
        assert time.monotonic() < deadline, bases
        time.sleep(0.1)


def headers_of(message: Message) -> dict[str, str]:
    return {name: bytes(value or b"").decode() for name, value in message.headers() or []}  # type: ignore[str-unpack,arg-type]
