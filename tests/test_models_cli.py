"""`offbeat models` on a real Redis."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis
import yaml
from click.testing import CliRunner, Result

from tests.core.examples import SPEC, rows
from training.learn.versioning import train_version
from worker.adapters.redis_keys import Keys
from worker.adapters.redis_registry import RedisRegistry
from worker.config.load import load
from worker.config.settings import Settings
from worker.errors import BundleRefused, ConfigError, DependencyUnreachable
from worker.models_cli import models
from worker.ports.stores import Champion


def configure(folder: Path, stream: str, url: str, features: int = 5) -> tuple[Path, Settings]:
    path = folder / f"{stream}-{features}.yaml"
    plain = [feature.model_dump() for feature in SPEC.features[:features]]
    path.write_text(yaml.safe_dump({"stream": stream, "redis": {"url": url}, "features": plain}))
    return path, load(path, {})


def call(*arguments: str) -> Result:
    return CliRunner().invoke(models, [*arguments[:1], "-c", *arguments[1:]], catch_exceptions=True)


@pytest.fixture
def registry(redis_url: str, stream: str, tmp_path: Path) -> tuple[Path, RedisRegistry]:
    """Two versions; the second serves."""
    path, settings = configure(tmp_path, stream, redis_url)
    made = RedisRegistry(redis.Redis.from_url(redis_url), stream)
    for version in (1, 2):
        trained = train_version(
            settings,
            rows(600, seed=version),
            calibrate_on=None,
            version=version,
            parent=None,
            ranges={},
            seed=0,
            created_at=f"2026-01-0{version}T00:00:00Z",
        )
        made.put_bundle(trained.bundle)
        made.put_threshold(trained.threshold)
        champion = Champion(trained.bundle.digest, trained.threshold.digest(), version, made.next_token())
        assert made.promote(settings.spec.spec_hash, champion)
    return path, made


def serving(path: Path, registry: RedisRegistry) -> int:
    champion = registry.champion(load(path, {}).spec.spec_hash)
    assert champion is not None
    return champion.version


def test_list_marks_the_champion(registry: tuple[Path, RedisRegistry]) -> None:
    path, _ = registry
    found = json.loads(call("list", str(path), "--json").output)
    assert [(row["version"], row["champion"]) for row in found] == [(2, True), (1, False)]
    lines = call("list", str(path)).output.splitlines()
    assert lines[1].startswith("*")
    assert len(lines) == 3


def test_show_promote_and_rollback(registry: tuple[Path, RedisRegistry]) -> None:
    path, made = registry
    assert json.loads(call("show", str(path), "--json").output)["manifest"]["version"] == 2
    assert call("promote", str(path), "1").exit_code == 0
    assert serving(path, made) == 1
    assert call("promote", str(path), "2").exit_code == 0
    assert call("rollback", str(path)).exit_code == 0
    assert serving(path, made) == 1
    assert isinstance(call("rollback", str(path)).exception, BundleRefused)


def test_an_operators_promotion_fences_an_older_trainer(registry: tuple[Path, RedisRegistry]) -> None:
    path, made = registry
    settings = load(path, {})
    before = made.champion(settings.spec.spec_hash)
    assert before is not None
    assert call("promote", str(path), "1").exit_code == 0
    assert not made.promote(settings.spec.spec_hash, before)
    assert serving(path, made) == 1


def test_export_and_import_elsewhere(
    registry: tuple[Path, RedisRegistry], redis_url: str, stream: str, tmp_path: Path
) -> None:
    path, _ = registry
    file = tmp_path / "model.zip"
    assert call("export", str(path), "2", str(file)).exit_code == 0
    other, _ = configure(tmp_path, f"{stream}-other", redis_url)
    assert call("import", str(other), str(file), "--promote").exit_code == 0
    assert serving(other, RedisRegistry(redis.Redis.from_url(redis_url), f"{stream}-other")) == 2
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    assert isinstance(call("import", str(other), str(file)).exception, BundleRefused)


def test_another_feature_spec_is_refused(
    registry: tuple[Path, RedisRegistry], redis_url: str, stream: str, tmp_path: Path
) -> None:
    narrower, _ = configure(tmp_path, stream, redis_url, features=4)
    refused = call("promote", str(narrower), "2").exception
    assert isinstance(refused, BundleRefused)
    assert "was trained for feature spec" in str(refused)


def test_a_version_that_the_workers_would_refuse_is_not_promoted(
    registry: tuple[Path, RedisRegistry], redis_url: str, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, made = registry
    monkeypatch.setenv("OFFBEAT_SIGNING_KEY", "a key")
    unsigned = call("promote", str(path), "1").exception
    assert isinstance(unsigned, BundleRefused)
    assert "not signed" in str(unsigned)
    monkeypatch.delenv("OFFBEAT_SIGNING_KEY")
    first = made.bundles()[1].digest
    redis.Redis.from_url(redis_url).hset(Keys(stream).bundle(first), "weights", b"damaged")
    assert isinstance(call("promote", str(path), "1").exception, BundleRefused)
    assert serving(path, made) == 2


def test_an_unknown_version_and_an_unreachable_redis_are_named(
    registry: tuple[Path, RedisRegistry], stream: str, tmp_path: Path
) -> None:
    path, _ = registry
    assert "there are: 2, 1" in str(call("show", str(path), "7").exception)
    assert isinstance(call("show", str(path), "7").exception, ConfigError)
    gone, _ = configure(tmp_path, f"{stream}-gone", "redis://:secret-word@127.0.0.1:1/0")
    error = call("list", str(gone)).exception
    assert isinstance(error, DependencyUnreachable)
    assert "secret-word" not in str(error)
