"""A transactional producer and its errors.

- Retriable: make the same call again, until the transaction time-out.
- Abortable: abort, and the caller may publish again.
- Fatal, with an unknown outcome, or a call that hangs: the caller makes a new producer and recovers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.call_thread import CallThread
from worker.adapters.kafka_config import TRANSACTION_TIMEOUT_S
from worker.adapters.kafka_producer import CALL_TIMEOUT_S, describe_error, produce_all, retry
from worker.errors import RefusedByKafka
from worker.ports.log import Output, ProducerReplaced, PublishAborted

PUBLISH_S = 20.0
"""Twice the transaction time-out, when the broker has aborted the transaction. `send_offsets_to_transaction` has been
seen to hang in one of four deaths of the only broker, whatever its own time-out.
"""
ProducerFactory = Callable[[dict[str, Any]], Producer]
"""Makes a client of librdkafka's properties."""


class TransactionalProducer:
    """One client from its initialisation to its end. All calls are made in a thread of its own.

    Only this object and that thread refer to the client. If an exception's traceback held the last reference, the
    loop's thread would destroy the client, which waits for brokers.
    """

    def __init__(self, config: dict[str, Any], factory: ProducerFactory | None = None) -> None:
        """Raises KafkaException for a property that librdkafka refuses."""
        # Made here, not in the thread, so that a wrong property is reported by name when the worker starts.
        self._producer: Producer | None = (factory or Producer)(config)
        self._abandoned = False
        self._calls = CallThread("producer")
        self._initialised = self._calls.submit(self._initialise)

    def publish(self, outputs: Sequence[Output], offsets: list[KafkaPartition], membership: object | None) -> None:
        """Publish outputs and offsets in one transaction.

        Raises PublishAborted, ProducerReplaced, RefusedByKafka; TimeoutError if a call does not return.
        """
        done = self._calls.submit(lambda: self._initialised.result() or self._transact(outputs, offsets, membership))
        failure = done.result(PUBLISH_S)
        if failure is not None:
            raise failure

    def end(self) -> Future[None]:
        """Release the client. An open transaction is not aborted: the next producer, with the same id, does that."""
        self._abandoned = True
        ended = self._calls.submit(self._release)
        self._calls.close()
        return ended

    # In the thread. Errors are returned, not raised: a traceback would refer to the client.

    def _initialise(self) -> Exception | None:
        try:
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
            retry(lambda: self._live_producer.init_transactions(CALL_TIMEOUT_S), deadline, "a transactional producer")
        except RefusedByKafka as error:
            return RefusedByKafka(str(error))
        except KafkaException as error:  # the transaction coordinator does not answer
            return ProducerReplaced(describe_error(error))
        return None

    def _transact(
        self, outputs: Sequence[Output], offsets: list[KafkaPartition], membership: object | None
    ) -> Exception | None:
        try:
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
            self._live_producer.begin_transaction()
            produce_all(self._live_producer, outputs, deadline)
            # The membership was taken before the records were read, so that the broker refuses records that were read
            # under an earlier generation of the group.
            retry(
                lambda: self._live_producer.send_offsets_to_transaction(offsets, membership, CALL_TIMEOUT_S),
                deadline,
                "offsets in a transaction",
            )
            retry(lambda: self._live_producer.commit_transaction(CALL_TIMEOUT_S), deadline, "a transaction")
        except RefusedByKafka as error:
            return RefusedByKafka(str(error))
        except KafkaException as error:
            inner = error.args[0]
            if inner.txn_requires_abort() and not inner.fatal():
                return self._abort(describe_error(error))
            return ProducerReplaced(describe_error(error))
        except BufferError:
            return ProducerReplaced("the producer's queue stayed full for a whole transaction time-out")
        return None

    def _abort(self, cause: str) -> Exception:
        try:
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
            retry(lambda: self._live_producer.abort_transaction(CALL_TIMEOUT_S), deadline, "an abort")
        except RefusedByKafka as error:
            return RefusedByKafka(str(error))
        except KafkaException as error:
            return ProducerReplaced(f"{cause}; then {describe_error(error)}")
        return PublishAborted(cause)

    @property
    def _live_producer(self) -> Producer:
        """The client, checked before each call: one that was abandoned while a call hung makes no further call."""
        if self._abandoned or self._producer is None:
            raise KafkaException(KafkaError(KafkaError._STATE, "this producer was abandoned"))
        return self._producer

    def _release(self) -> None:
        self._producer = None
