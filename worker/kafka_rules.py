"""librdkafka properties that may not be set, each with the reason: the guarantee rests on them."""

from __future__ import annotations

REFUSED: dict[str, str] = {
    "bootstrap.servers": "set kafka.bootstrap_servers",
    "metadata.broker.list": "set kafka.bootstrap_servers",
    "group.id": "set kafka.group",
    "group.instance.id": "static membership would let a dead member hold its partitions, and blocks its own recovery",
    "isolation.level": "offbeat reads committed records only: state is a function of the committed log",
    "enable.auto.commit": "offsets are committed with the alerts, in one transaction",
    "enable.auto.offset.store": "offsets are offbeat's own counts",
    "auto.offset.reset": "a lost offset is never guessed; see kafka.start and kafka.offset_lost",
    "enable.partition.eof": "catch-up ends by it",
    "partition.assignment.strategy": "assignment is cooperative-sticky",
    "transactional.id": "it is made of group and instance, so that a restarted instance ends its own dead transaction",
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

SECRET_WORDS = ("password", "secret", "key", "token", "jaas", "credential")


def is_secret(name: str) -> bool:
    """Whether the value of a property may never be shown."""
    return any(word in name.lower() for word in SECRET_WORDS)
