"""librdkafka's mock cluster as an embedded broker: what the demo runs on when no Kafka is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Producer

_ANSWER_S = 10.0


@contextmanager
def embedded_broker(topics: Sequence[str]) -> Iterator[str]:
    """The bootstrap address of a cluster of one broker in this process that has the topics, of four partitions each.

    The mock cluster has no topic ids or topic settings, keeps about 5 MB of a partition, and ignores the offsets in a
    transaction.
    """
    # The cluster lives as long as the client that asked for it.
    host = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 3})
    brokers = host.list_topics(timeout=_ANSWER_S).brokers.values()
    for topic in topics:
        host.list_topics(topic, timeout=_ANSWER_S)  # its topics appear on first use
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    host.flush(1.0)
