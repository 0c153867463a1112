"""`offbeat train`: which version serves afterwards, on a real Redis."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import training.history.train_command
from tests.training.history.case import Case, few
from training.learn.versioning import Trained, train_version
from worker.adapters.redis_registry import RedisRegistry
from worker.adapters.redis_samples import RedisSamples
from worker.errors import BundleRefused, OffbeatError
from worker.ports.stores import Champion


def test_a_champion_is_replaced_only_with_replace(case: Case) -> None:
    file = case.file(few())
    case.train(file=file)
    first = case.serving()
    assert first is not None
    assert case.refusal(file=file).startswith(f"version 1 ({first.versions.bundle}) serves already; --replace")
    stored = case.train(file=file, promote=False)
    assert (stored.version, stored.serves, stored.served) == (2, 1, 1)
    still = case.serving()
    assert still is not None
    assert still.version == 1
    replaced = case.train(file=file, replace=True)
    assert (replaced.version, replaced.serves, replaced.served) == (3, 3, 1)
    assert [past.version for past in case.registry.history(case.settings.spec.spec_hash)] == [3, 1]
    assert [info.version for info in case.registry.bundles()] == [3, 2, 1]
    assert case.registry.bundle(replaced.digest).manifest.parent is None


def test_without_promotion_nothing_serves(case: Case) -> None:
    summary = case.train(file=case.file(few()), promote=False)
    assert (summary.version, summary.serves) == (1, None)
    assert case.serving() is None
    assert case.registry.thresholds(summary.digest) == [summary.threshold]


def test_with_a_key_the_version_is_signed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFBEAT_SIGNING_KEY", "a key")
    summary = case.train(file=case.file(few()))
    RedisRegistry(case.client, case.stream, b"a key").bundle(summary.digest)
    RedisRegistry(case.client, case.stream, b"a key").threshold(summary.threshold)
    with pytest.raises(BundleRefused, match="the signature is wrong"):
        RedisRegistry(case.client, case.stream, b"another").bundle(summary.digest)


def test_promotion_deletes_the_samples_of_a_cold_start(case: Case) -> None:
    samples = RedisSamples(case.client, case.stream)
    samples.add("id", case.stream, 0, 0, b"", 5)
    case.train(file=case.file(few()), promote=False)
    assert samples.rows() == 5
    case.train(file=case.file(few()))
    assert samples.rows() == 0


def test_a_model_that_was_promoted_meanwhile_keeps_serving(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def promote_a_rival(*arguments: Any, **named: Any) -> Trained:
        rival = train_version(*arguments, **{**named, "version": case.registry.next_version()})
        case.registry.put_bundle(rival.bundle)
        case.registry.put_threshold(rival.threshold)
        champion = Champion(rival.bundle.digest, rival.threshold.digest(), 2, case.registry.next_token())
        assert case.registry.promote(case.settings.spec.spec_hash, champion)
        return train_version(*arguments, **named)

    monkeypatch.setattr(training.history.train_command, "train_version", promote_a_rival)
    with pytest.raises(OffbeatError, match="version 2 was promoted while this one was trained; version 1 is stored"):
        case.train(file=case.file(few()))
    model = case.serving()
    assert model is not None
    assert model.version == 2
    assert [info.version for info in case.registry.bundles()] == [2, 1]


@pytest.mark.parametrize("call", ["put_threshold", "promote"])
def test_a_crash_halfway_leaves_no_champion(case: Case, call: str) -> None:
    """The process is killed just before the write."""
    file = str(case.file(few()))
    code = (
        "import os, signal, sys; from worker.adapters.redis_registry import RedisRegistry; from worker.cli import main;"
        f"RedisRegistry.{call} = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        f"sys.argv = ['offbeat', 'train', '-c', {str(case.path)!r}, '--from', {file!r}]; main()"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == -signal.SIGKILL
    assert case.serving() is None
    assert case.train(file=Path(file)).serves == 2
    model = case.serving()
    assert model is not None
    assert model.version == 2
