"""librdkafka properties that may not be set, each with the reason: the delivery guarantee rests on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REFUSED: dict[str, str] = {
    "bootstrap.servers": "set kafka.bootstrap_servers",
    "metadata.broker.list": "set kafka.bootstrap_servers",
    "group.id": "set kafka.group",
    "group.instance.id": "static membership would let a dead member hold its partitions, and blocks its own recovery",
    "isolation.level": "offbeat reads committed records only: state is a function of the committed log",
    "enable.auto.commit": "offsets are committed with the alerts, in one transaction",
    "enable.auto.offset.store": "offbeat keeps its own offsets",
    "auto.offset.reset": "a lost offset is never guessed; see kafka.start and kafka.offset_lost",
    "enable.partition.eof": "it tells offbeat when catch-up is done",
    "partition.assignment.strategy": "assignment is cooperative-sticky",
    "transactional.id": "it is made of group and instance, so that a restart aborts its own dead transaction",
    "transaction.timeout.ms": "the guarantee needs transaction time-out (10 s) < session time-out (15 s)",
    "session.timeout.ms": "the guarantee needs transaction time-out (10 s) < session time-out (15 s)",
    "enable.idempotence": "exactly-once rests on the idempotent producer",
    "acks": "an alert counts when all in-sync replicas have it",
    "request.required.acks": "an alert counts when all in-sync replicas have it",
    "max.in.flight": "the idempotent producer sets it",
    "message.max.bytes": "it follows from the limits of the output topics",
    "batch.size": "it follows from the limits of the output topics",
    "plugin.library.paths": "it loads code",
}

_REFUSED_WITH_CONSUMER_PROTOCOL = {
    "heartbeat.interval.ms": "with group.protocol: consumer the broker sets it (group.consumer.heartbeat.interval.ms)",
    "group.protocol.type": "with group.protocol: consumer it does not exist",
}
_GROUP_PROTOCOLS = ("classic", "consumer")

SECRET_WORDS = ("password", "secret", "key", "token", "jaas", "credential")


def refusal(properties: Mapping[str, Any]) -> str | None:
    """Why these properties may not be set as they are, or None if they may."""
    protocol = properties.get("group.protocol", "classic")
    if protocol not in _GROUP_PROTOCOLS:
        return f"group.protocol: {protocol!r} is not allowed; allowed: {', '.join(_GROUP_PROTOCOLS)}"
    refused = REFUSED | (_REFUSED_WITH_CONSUMER_PROTOCOL if protocol == "consumer" else {})
    for name in properties:
        if name.endswith("_cb"):
            return f"{name} may not be set: callbacks cannot come from a configuration"
        if name in refused:
            return f"{name} may not be set: {refused[name]}"
    return None


def is_secret(name: str) -> bool:
    """Whether the value of this property may never be shown."""
    return any(word in name.lower() for word in SECRET_WORDS)
