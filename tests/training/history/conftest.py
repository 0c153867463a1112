"""Streams for the tests of `offbeat train`, with a real Redis and for some of them a real Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.kafka import KafkaCluster
from tests.training.history.case import Case


@pytest.fixture
def case(tmp_path: Path, stream: str, redis_url: str) -> Case:
    return Case(tmp_path, stream, redis_url)


@pytest.fixture
def topic(tmp_path: Path, stream: str, redis_url: str, kafka: KafkaCluster) -> Case:
    """A stream with a topic of three partitions."""
    kafka.create_topic(stream, 3)
    return Case(tmp_path, stream, redis_url, kafka.bootstrap)
