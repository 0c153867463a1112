"""The two sinks behind the `Sink` port: one transaction for outputs and offsets, or outputs first and then a commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka_config import TRANSACTION_TIMEOUT_S, Properties, producer_properties
from worker.adapters.kafka_producer import CALL_TIMEOUT_S, RecordLimits, describe_error, produce_all, retry
from worker.adapters.kafka_transactional_producer import PUBLISH_S, ProducerFactory, TransactionalProducer
from worker.ports.log import Commit, Output, ProducerReplaced, TopicPartition


class TransactionalSink:
    """`delivery: exactly_once`.

    The transactional id is made of group and instance, so that a restarted instance fences its dead predecessor.
    """

    def __init__(
        self,
        bootstrap: str,
        properties: Properties,
        transactional_id: str,
        limits: RecordLimits,
        producer_factory: ProducerFactory | None = None,
    ) -> None:
        self._limits = limits
        self._config = {
            **producer_properties(bootstrap, properties, transactional_id),
            **limits.properties(),
        }
        self._producer_factory = producer_factory
        self._producer = self._make_producer()

    def _make_producer(self) -> TransactionalProducer:
        return TransactionalProducer(self._config, self._producer_factory)

    def limit(self, topic: str) -> int:
        return self._limits.of(topic)

    def publish(
        self, outputs: Sequence[Output], commits: Mapping[TopicPartition, Commit], membership: object | None
    ) -> None:
        try:
            self._producer.publish(outputs, _offsets(commits), membership)
        except ProducerReplaced:
            self._replace()
            raise
        except TimeoutError:
            self._replace()
            raise ProducerReplaced(f"a call of the producer did not return within {PUBLISH_S:.0f} s") from None

    def _replace(self) -> None:
        # At once, not at the next publish: initialising the new producer aborts the old one's open transaction, and
        # recovery waits for that.
        self._producer.end()
        self._producer = self._make_producer()

    def close(self) -> None:
        with suppress(TimeoutError):
            self._producer.end().result(CALL_TIMEOUT_S)


class PlainSink:
    """`delivery: at_least_once`: commits after every output is acknowledged."""

    def __init__(
        self,
        bootstrap: str,
        properties: Properties,
        limits: RecordLimits,
        commit: Callable[[list[KafkaPartition]], None],
    ) -> None:
        self._limits = limits
        self._commit = commit
        self._producer = Producer({**producer_properties(bootstrap, properties, None), **limits.properties()})
        self._failed: KafkaError | None = None

    def _on_delivery(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed = error

    def limit(self, topic: str) -> int:
        return self._limits.of(topic)

    def publish(
        self, outputs: Sequence[Output], commits: Mapping[TopicPartition, Commit], membership: object | None
    ) -> None:
        deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
        self._failed = None
        try:
            produce_all(self._producer, outputs, deadline, self._on_delivery)
            left = self._producer.flush(TRANSACTION_TIMEOUT_S)
            if left or self._failed is not None:
                self._producer.purge(blocking=False)
                raise ProducerReplaced(f"{left} outputs unacknowledged, last error: {self._failed}")
            retry(lambda: self._commit(_offsets(commits)), deadline, "a commit of offsets")
        except (KafkaException, BufferError) as error:
            raise ProducerReplaced(describe_error(error)) from error

    def close(self) -> None:
        self._producer.flush(CALL_TIMEOUT_S)


def _offsets(commits: Mapping[TopicPartition, Commit]) -> list[KafkaPartition]:
    return [
        KafkaPartition(source.topic, source.partition, commit.offset, commit.metadata)
        for source, commit in commits.items()
    ]
