"""What both sinks need of a producer: record sizes, back-pressure, retries."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.adapters.kafka_admin import Topics
from worker.adapters.kafka_config import Properties, detect_refusal
from worker.ports.log import Output

CALL_TIMEOUT_S = 5.0
_DEFAULT_LIMIT = 1_048_588
DeliveryCallback = Callable[[KafkaError | None, Message], None]
_OVERHEAD = 512  # bytes of a record batch around one record, rounded up


class RecordLimits:
    """The largest record that each output topic takes, queried once, and the producer's sizes that follow from it."""

    def __init__(self, bootstrap: str, properties: Properties, topics: Sequence[str]) -> None:
        admin = Topics(bootstrap, properties)
        limits = {topic: admin.setting(topic, "max.message.bytes") for topic in topics}
        self._limits = {topic: int(limit or _DEFAULT_LIMIT) - _OVERHEAD for topic, limit in limits.items()}

    def of(self, topic: str) -> int:
        """The largest record of this topic, in bytes."""
        return self._limits.get(topic, _DEFAULT_LIMIT - _OVERHEAD)

    def properties(self) -> dict[str, int]:
        """librdkafka's properties of batch and record sizes."""
        smallest = min(self._limits.values(), default=_DEFAULT_LIMIT)
        # librdkafka never splits a batch, so no batch may exceed what the topics take. Callers check single records.
        return {"batch.size": max(smallest, 1_024), "message.max.bytes": 1_000_000_000}


def produce_all(
    producer: Producer,
    outputs: Sequence[Output],
    deadline: float,
    on_delivery: DeliveryCallback | None = None,
) -> None:
    """Produce with back-pressure. Raises BufferError if the client's queue is still full at the deadline."""
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


def retry(call: Callable[[], Any], deadline: float, what: str) -> None:
    """Make a call again while its error is retriable, until the deadline. Raises KafkaException, RefusedByKafka."""
    while True:
        try:
            call()
            return
        except KafkaException as error:
            inner = error.args[0]
            final = detect_refusal(error, what)
            if final is not None:
                raise final from error
            if inner.fatal() or inner.txn_requires_abort() or not inner.retriable() or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def describe_error(error: Exception) -> str:
    """The error's name and text, if it is one of Kafka's."""
    inner = error.args[0] if error.args else error
    return f"{inner.name()}: {inner.str()}" if isinstance(inner, KafkaError) else str(inner)
