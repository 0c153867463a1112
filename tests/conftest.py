"""Real services for the tests: started here, or named by OFFBEAT_TEST_KAFKA and OFFBEAT_TEST_REDIS.

Every test gets its markers here. `service`: it uses a real service. `slow`: its file takes more than five seconds
alone. `make fast` runs the rest.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.services.kafka import KafkaCluster, KafkaServer
from tests.services.redis import RedisServer

SERVICES = {"kafka", "redis_url", "own_kafka", "own_redis"}
"""The fixtures that start or name a real service."""
SERVICE_PARAMETERS = ("kafka", "redis-server")
"""How the parameters of a fixture begin that chooses between a real service and a fake one."""
SERVICE_FOLDERS = ("chaos",)
"""Tests that start their services themselves."""
SLOW = (
    "contract/test_source.py",
    "core/model/test_kinds.py",
    "test_cli.py",
    "training/demo/test_run.py",
    "training/evaluate/test_any_input.py",
    "training/evaluate/test_evaluate.py",
    "training/evaluate/test_prequential.py",
    "training/profile/test_profile.py",
)
"""Measured by `pytest --durations=0`; together they take three quarters of the time of all tests without a service."""
_HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)  # before collection: some modules of tests fit a model when they are imported
    config.addinivalue_line("markers", "service: uses a real Kafka or Redis")
    config.addinivalue_line("markers", "slow: belongs to a file of tests that takes more than five seconds")
    for name in (*SLOW, *SERVICE_FOLDERS):
        if not (_HERE / name).exists():
            raise pytest.UsageError(f"tests/conftest.py: there is no tests/{name}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(_HERE).as_posix()
        if _uses_service(item) or place.startswith(tuple(f"{folder}/" for folder in SERVICE_FOLDERS)):
            item.add_marker("service")
        if place in SLOW:
            item.add_marker("slow")


def _uses_service(item: pytest.Item) -> bool:
    """By the fixtures that the test uses, also through other fixtures, and by its parameters."""
    if SERVICES & set(getattr(item, "fixturenames", ())):
        return True
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return any(isinstance(value, str) and value.startswith(SERVICE_PARAMETERS) for value in parameters)


def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """A test that reaches a service in a way that is not seen above fails in a run without services."""
    if fixturedef.argname in SERVICES and "not service" in request.config.getoption("markexpr"):
        pytest.fail("this test needs a service and is not marked as one; see tests/conftest.py", pytrace=False)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    named = os.environ.get("OFFBEAT_TEST_KAFKA")
    if named:
        yield KafkaCluster(named)
        return
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    named = os.environ.get("OFFBEAT_TEST_REDIS")
    if named:
        yield named
        return
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.stop()


@pytest.fixture
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A Kafka that the test may stop."""
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    yield server
    server.kill9()


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that the test may stop."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def stream() -> str:
    """A name of its own for each test's topics and keys."""
    return f"t{uuid.uuid4().hex[:12]}"
