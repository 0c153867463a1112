"""What publishing asks of a producer, whichever sink does it: sizes, back-pressure, calls made again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.adapters.kafka_admin import Topics
from worker.adapters.kafka_config import Properties, refused
from worker.ports.log import Output

CALL_TIMEOUT_S = 5.0
_DEFAULT_LIMIT = 1_048_588
DeliveryCallback = Callable[[KafkaError | None, Message], None]
_OVERHEAD = 512  # of a record batch around one record, with room


class KafkaLimits:
    """How large a record each output topic takes, read once, and the producer sizes that follow from it."""

    def __init__(self, bootstrap: str, properties: Properties, topics: Sequence[str]) -> None:
        admin = Topics(bootstrap, properties)
        limits = {topic: admin.setting(topic, "max.message.bytes") for topic in topics}
        self._limits = {topic: int(limit or _DEFAULT_LIMIT) - _OVERHEAD for topic, limit in limits.items()}

    def of(self, topic: str) -> int:
        return self._limits.get(topic, _DEFAULT_LIMIT - _OVERHEAD)

    def properties(self) -> dict[str, int]:
        smallest = min(self._limits.values(), default=_DEFAULT_LIMIT)
        # librdkafka never splits a batch, so none may grow past what the topics take; a single record is checked by us.
        return {"batch.size": max(smallest, 1_024), "message.max.bytes": 1_000_000_000}


def put(
    producer: Producer,
    outputs: Sequence[Output],
    deadline: float,
    on_delivery: DeliveryCallback | None = None,
) -> None:
    """produce() with back-pressure: a full queue is waited for; BufferError when it is still full at the deadline."""
    for output in outputs:
        while True:
            try:
                producer.produce(
                    output.topic,
                    output.value,
                    output.key,
                    headers=list(output.headers),
                    on_delivery=on_delivery,
                )
                break
            except BufferError:
                if time.monotonic() > deadline:
                    raise
                producer.poll(0.05)
    producer.poll(0)


def retried(call: Callable[[], Any], deadline: float, what: str) -> None:
    while True:
        try:
            call()
            return
        except KafkaException as error:
            inner = error.args[0]
            final = refused(error, what)
            if final is not None:
                raise final from error
            if inner.fatal() or inner.txn_requires_abort() or not inner.retriable() or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def text(error: Exception) -> str:
    inner = error.args[0] if error.args else error
    return f"{inner.name()}: {inner.str()}" if isinstance(inner, KafkaError) else str(inner)
