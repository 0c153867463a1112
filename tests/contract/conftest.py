"""Each suite runs on the real service and on the fakes that replace it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis
from confluent_kafka import Producer
from fakeredis import TcpFakeServer

from tests.model.stores import MemoryRegistry, MemorySnapshots
from tests.services.process import free_port
from worker.adapters.redis_registry import RedisRegistry
from worker.adapters.redis_snapshots import RedisSnapshots
from worker.ports.stores import Registry, SnapshotStore


@pytest.fixture(scope="session")
def fake_redis_url() -> Iterator[str]:
    port = free_port()
    server = TcpFakeServer(("127.0.0.1", port), server_type="redis")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"redis://127.0.0.1:{port}/0"
    server.shutdown()


@pytest.fixture(params=["redis-server", "fakeredis"])
def client(request: pytest.FixtureRequest) -> redis.Redis:
    name = "redis_url" if request.param == "redis-server" else "fake_redis_url"
    return redis.Redis.from_url(request.getfixturevalue(name))


@pytest.fixture(scope="session")
def mock_bootstrap() -> Iterator[str]:
    """The mock cluster of librdkafka, which the demo embeds."""
    host = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 3})
    yield ",".join(f"{b.host}:{b.port}" for b in host.list_topics(timeout=10).brokers.values())
    host.flush(1)


@pytest.fixture(params=["redis-server", "fakeredis", "memory"])
def store(request: pytest.FixtureRequest, stream: str) -> SnapshotStore:
    if request.param == "memory":
        return MemorySnapshots()
    name = "redis_url" if request.param == "redis-server" else "fake_redis_url"
    return RedisSnapshots(redis.Redis.from_url(request.getfixturevalue(name)), stream)


@pytest.fixture(params=["redis-server", "fakeredis", "memory"])
def registry(request: pytest.FixtureRequest, stream: str) -> Registry:
    if request.param == "memory":
        return MemoryRegistry()
    name = "redis_url" if request.param == "redis-server" else "fake_redis_url"
    return RedisRegistry(redis.Redis.from_url(request.getfixturevalue(name)), stream)
