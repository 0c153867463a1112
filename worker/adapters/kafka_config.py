"""librdkafka properties of the consumer and the producers, on which the delivery guarantee and the speed rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from worker.errors import RefusedByKafka

TRANSACTION_TIMEOUT_S = 10.0
SESSION_TIMEOUT_S = 15.0

Properties = Mapping[str, str | int | float | bool]

_PERMANENT = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError._AUTHENTICATION,
}


def consumer_properties(bootstrap: str, group: str, properties: Properties) -> dict[str, Any]:
    """The consumer's properties: ours, and the user's where they may differ.

    With the KIP-848 protocol (`group.protocol: consumer`) the session time-out is the broker's.
    """
    ours: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
    }
    if properties.get("group.protocol", "classic") == "classic":
        ours["partition.assignment.strategy"] = "cooperative-sticky"
        ours["session.timeout.ms"] = int(SESSION_TIMEOUT_S * 1000)
    return {
        "fetch.queue.backoff.ms": 10,
        "metadata.max.age.ms": 30_000,
        **for_role(properties, "consumer"),
        **ours,
    }


def producer_properties(bootstrap: str, properties: Properties, transactional_id: str | None) -> dict[str, Any]:
    """A producer's properties: ours, and the user's where they may differ. Transactional if it has an id."""
    ours: dict[str, Any] = {"bootstrap.servers": bootstrap, "enable.idempotence": True}
    if transactional_id is not None:
        ours["transactional.id"] = transactional_id
        ours["transaction.timeout.ms"] = int(TRANSACTION_TIMEOUT_S * 1000)
    return {"linger.ms": 2, "compression.type": "lz4", **for_role(properties, "producer"), **ours}


_CONSUMER_ONLY = (
    "fetch.",
    "queued.",
    "group.",
    "session.",
    "heartbeat.",
    "max.poll.",
    "check.crcs",
    "coordinator.",
)
_PRODUCER_ONLY = (
    "queue.buffering.",
    "linger.ms",
    "batch.",
    "compression.",
    "acks",
    "request.required.acks",
    "retries",
    "message.send.",
    "delivery.",
    "sticky.",
    "partitioner",
    "retry.backoff",
    "message.timeout",
)


def for_role(properties: Properties, role: str) -> dict[str, Any]:
    """The user's properties that this kind of client knows; librdkafka would warn about the others."""
    foreign = {
        "consumer": _PRODUCER_ONLY,
        "producer": _CONSUMER_ONLY,
        "admin": _PRODUCER_ONLY + _CONSUMER_ONLY,
    }[role]
    return {name: value for name, value in properties.items() if not name.startswith(foreign)}


def detect_refusal(error: KafkaException | KafkaError, what: str) -> RefusedByKafka | None:
    """An error to raise when waiting will not help: authentication, authorisation, an unsupported feature."""
    inner = error if isinstance(error, KafkaError) else error.args[0]
    if isinstance(inner, KafkaError) and inner.code() in _PERMANENT:
        return RefusedByKafka(f"Kafka refuses {what}: {inner.str()} ({inner.name()})")
    return None
