"""A producer of single records, without transactions: for tools beside the worker, such as the demo's player."""

from __future__ import annotations

from confluent_kafka import Producer

from worker.adapters.kafka_config import Properties

_FULL_QUEUE_S = 0.02


class PlainProducer:
    """Produces records in the order of the calls; `properties` are librdkafka's."""

    def __init__(self, bootstrap: str, properties: Properties) -> None:
        self._producer = Producer({**properties, "bootstrap.servers": bootstrap})

    def produce(self, topic: str, value: bytes, partition: int) -> None:
        """Hand a record to the client, which sends it in the background. Waits while the client's queue is full."""
        while True:
            try:
                self._producer.produce(topic, value, partition=partition)
                return
            except BufferError:
                self._producer.poll(_FULL_QUEUE_S)

    def poll(self, seconds: float) -> None:
        """Let the client serve its events for at most `seconds`."""
        self._producer.poll(seconds)

    def flush(self, seconds: float) -> int:
        """Wait until everything is sent; returns the number of records that were not sent in time."""
        return int(self._producer.flush(seconds))
