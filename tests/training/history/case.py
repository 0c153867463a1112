"""A stream with a configuration and a registry, for the tests of `offbeat train`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from tests.scenarios.stream import FEATURES, events
from training.history.train_command import Options, Summary, run_training
from worker.adapters.redis_registry import RedisRegistry
from worker.config.load import load
from worker.config.settings import Settings
from worker.core.events.columns import Columns, from_table
from worker.core.model.serving_model import ServingModel
from worker.errors import ConfigError
from worker.partitions.model_feed import ModelFeed

OPTIONS = Options(file=None, rows=None, since_ms=None, label=None, seed=0, replace=False, promote=True)
START_MS = 1_767_225_600_000  # 2026-01-01


@contextmanager
def no_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


class Case:
    """One stream: its configuration and its registry."""

    def __init__(self, folder: Path, stream: str, redis_url: str, bootstrap: str = "127.0.0.1:1") -> None:
        self.folder, self.stream, self.path = folder, stream, folder / f"{stream}.yaml"
        self._plain: dict[str, Any] = {
            "stream": stream,
            "kafka": {"bootstrap_servers": bootstrap},
            "redis": {"url": redis_url},
            "event": {"entity": "host"},
            "features": FEATURES,
            "threshold": {"alert_rate": 0.01},
        }
        self.settings = self.configure()
        self.client = redis.Redis.from_url(redis_url)
        self.registry = RedisRegistry(self.client, stream)

    def configure(self, **sections: Any) -> Settings:
        self.path.write_text(yaml.safe_dump({**self._plain, **sections}))
        self.settings = load(self.path, {})
        return self.settings

    def train(self, **options: Any) -> Summary:
        return run_training(self.settings, replace(OPTIONS, **options), no_progress)

    def refusal(self, **options: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            self.train(**options)
        assert caught.value.exit_code == 2
        return str(caught.value)

    def serving(self) -> ServingModel | None:
        """The champion, loaded as a worker loads it."""
        feed = ModelFeed(self.registry, self.settings.spec.spec_hash)
        feed.refresh()
        assert (feed.reachable, feed.refused) == (True, None)
        return feed.latest

    def weights(self, version: int) -> str:
        info = next(info for info in self.registry.bundles() if info.version == version)
        return self.registry.bundle(info.digest).manifest.weights_sha256

    def file(self, rows: Sequence[dict[str, Any]], name: str = "events.jsonl") -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "worker.cli", "train", "-c", str(self.path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def dotted(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**{k: v for k, v in row.items() if k != "proto"}, "proto.name": row["proto"]["name"]} for row in rows]


def columns(rows: Sequence[dict[str, Any]], settings: Settings) -> Columns:
    flat = dotted(rows)
    return from_table({name: [row[name] for row in flat] for name in flat[0]}, settings.spec)


def few(count: int = 300) -> list[dict[str, Any]]:
    return events(count, every=count + 1)
