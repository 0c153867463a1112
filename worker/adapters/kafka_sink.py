"""Publishing behind the `Sink` port: outputs and offsets in one transaction, or outputs first and then a plain commit.

Errors are handled by what they are. Retriable: the same call again, up to the transaction time-out. Abortable:
abort, and the caller may publish once more. Fatal or of unknown outcome: a new producer in the same process, and the
caller recovers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka_admin import Topics
from worker.adapters.kafka_config import TRANSACTION_TIMEOUT_S, Properties, producer_properties, refused
from worker.streams import Commit, Output, ProducerReplaced, PublishAborted, TopicPartition

_DEFAULT_LIMIT = 1_048_588
_CALL_TIMEOUT_S = 5.0
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


def _put(
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


class TransactionalSink:
    """`delivery: exactly_once`. The transactional id is the group's and this instance's, so a restart fences the
    dead.
    """

    def __init__(self, bootstrap: str, properties: Properties, transactional_id: str, limits: KafkaLimits) -> None:
        self._limits = limits
        self._config = {
            **producer_properties(bootstrap, properties, transactional_id),
            **limits.properties(),
        }
        self._producer: Producer | None = None

    def _ready(self) -> Producer:
        """The producer, initialised; KafkaException while the transaction coordinator does not answer."""
        if self._producer is None:
            producer = Producer(self._config)
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
            _retried(lambda: producer.init_transactions(_CALL_TIMEOUT_S), deadline, "a transactional producer")
            self._producer = producer
        return self._producer

    def limit(self, topic: str) -> int:
        return self._limits.of(topic)

    def publish(
        self, outputs: Sequence[Output], commits: Mapping[TopicPartition, Commit], membership: object | None
    ) -> None:
        offsets = _offsets(commits)
        try:
            producer = self._ready()
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
            producer.begin_transaction()
            _put(producer, outputs, deadline)
            # The membership was taken before the records were read: the broker refuses what another generation read.
            _retried(
                lambda: producer.send_offsets_to_transaction(offsets, membership, _CALL_TIMEOUT_S),
                deadline,
                "offsets in a transaction",
            )
            _retried(lambda: producer.commit_transaction(_CALL_TIMEOUT_S), deadline, "a transaction")
        except KafkaException as error:
            inner = error.args[0]
            if self._producer is not None and inner.txn_requires_abort() and not inner.fatal():
                self._abort(self._producer, error)
                raise PublishAborted(_text(error)) from error
            self._drop()
            raise ProducerReplaced(_text(error)) from error
        except BufferError as error:
            self._drop()
            raise ProducerReplaced("the producer's queue stayed full for a whole transaction time-out") from error

    def _abort(self, producer: Producer, cause: KafkaException) -> None:
        try:
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
            _retried(lambda: producer.abort_transaction(_CALL_TIMEOUT_S), deadline, "an abort")
        except KafkaException as error:
            self._drop()
            raise ProducerReplaced(f"{_text(cause)}; then {_text(error)}") from error

    def _drop(self) -> None:
        """Drop the producer without an abort: the next one has the same id and so ends what this one left open."""
        if self._producer is not None:
            self._producer.purge()
            self._producer = None

    def close(self) -> None:
        self._drop()


class PlainSink:
    """`delivery: at_least_once`: every output acknowledged, then the commit."""

    def __init__(
        self,
        bootstrap: str,
        properties: Properties,
        limits: KafkaLimits,
        commit: Callable[[list[KafkaPartition]], None],
    ) -> None:
        self._limits = limits
        self._commit = commit
        self._producer = Producer({**producer_properties(bootstrap, properties, None), **limits.properties()})
        self._failed: KafkaError | None = None

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
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
            _put(self._producer, outputs, deadline, self._delivered)
            left = self._producer.flush(TRANSACTION_TIMEOUT_S)
            if left or self._failed is not None:
                self._producer.purge()
                raise ProducerReplaced(f"{left} outputs unacknowledged, last error: {self._failed}")
            _retried(lambda: self._commit(_offsets(commits)), deadline, "a commit of offsets")
        except (KafkaException, BufferError) as error:
            raise ProducerReplaced(_text(error)) from error

    def close(self) -> None:
        self._producer.flush(_CALL_TIMEOUT_S)


def _offsets(commits: Mapping[TopicPartition, Commit]) -> list[KafkaPartition]:
    return [
        KafkaPartition(source.topic, source.partition, commit.offset, commit.metadata)
        for source, commit in commits.items()
    ]


def _retried(call: Callable[[], Any], deadline: float, what: str) -> None:
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


def _text(error: Exception) -> str:
    inner = error.args[0] if error.args else error
    return f"{inner.name()}: {inner.str()}" if isinstance(inner, KafkaError) else str(inner)
