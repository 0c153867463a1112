"""Real services for the tests: started here, or named by OFFBEAT_TEST_KAFKA and OFFBEAT_TEST_REDIS."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
import torch

from tests.services.kafka import KafkaCluster, KafkaServer
from tests.services.redis import RedisServer


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


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
