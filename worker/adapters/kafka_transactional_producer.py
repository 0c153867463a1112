"""The life of one transactional producer.

Errors are handled by what they are. Retriable: the same call again, up to the transaction time-out. Abortable:
abort, and the caller may publish once more. Fatal, of unknown outcome, or a call that does not return: a new producer
in the same process, and the caller recovers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.call_thread import CallThread
from worker.adapters.kafka_config import TRANSACTION_TIMEOUT_S
from worker.adapters.kafka_producer import CALL_TIMEOUT_S, put, retried, text
from worker.errors import RefusedByKafka
from worker.ports.log import Output, ProducerReplaced, PublishAborted

PUBLISH_S = 20.0
"""Twice the transaction time-out: the broker has aborted it by then. `send_offsets_to_transaction` has been seen to
stay in one of four deaths of the only broker, whatever its own time-out.
"""


class TransactionalProducer:
    """One transactional producer from its initialisation to its end; every call is made in a thread of its own.

    The producer stays in this object and in that thread: an exception's traceback elsewhere would otherwise hold the
    last reference, and its destruction, which waits for brokers, would be the loop's.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        """Raises KafkaException for a property that librdkafka refuses."""
        self._producer: Producer | None = Producer(config)  # here, so that a wrong property ends the start by its name
        self._over = False
        self._calls = CallThread("producer")
        self._begun = self._calls.submit(self._begin)

    def publish(self, outputs: Sequence[Output], offsets: list[KafkaPartition], membership: object | None) -> None:
        """Raises PublishAborted, ProducerReplaced, RefusedByKafka; TimeoutError where a call did not return."""
        done = self._calls.submit(lambda: self._begun.result() or self._transact(outputs, offsets, membership))
        failure = done.result(PUBLISH_S)
        if failure is not None:
            raise failure

    def end(self) -> Future[None]:
        """Without an abort: the next producer has the same id and so ends what this one left open."""
        self._over = True
        ended = self._calls.submit(self._let_go)
        self._calls.close()
        return ended

    # In the thread. What went wrong is returned, without its traceback.

    def _begin(self) -> Exception | None:
        try:
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
            retried(lambda: self._held.init_transactions(CALL_TIMEOUT_S), deadline, "a transactional producer")
        except RefusedByKafka as error:
            return RefusedByKafka(str(error))
        except KafkaException as error:  # the transaction coordinator does not answer
            return ProducerReplaced(text(error))
        return None

    def _transact(
        self, outputs: Sequence[Output], offsets: list[KafkaPartition], membership: object | None
    ) -> Exception | None:
        try:
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
            self._held.begin_transaction()
            put(self._held, outputs, deadline)
            # The membership was taken before the records were read: the broker refuses what another generation read.
            retried(
                lambda: self._held.send_offsets_to_transaction(offsets, membership, CALL_TIMEOUT_S),
                deadline,
                "offsets in a transaction",
            )
            retried(lambda: self._held.commit_transaction(CALL_TIMEOUT_S), deadline, "a transaction")
        except RefusedByKafka as error:
            return RefusedByKafka(str(error))
        except KafkaException as error:
            inner = error.args[0]
            if inner.txn_requires_abort() and not inner.fatal():
                return self._abort(text(error))
            return ProducerReplaced(text(error))
        except BufferError:
            return ProducerReplaced("the producer's queue stayed full for a whole transaction time-out")
        return None

    def _abort(self, cause: str) -> Exception:
        try:
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_S
            retried(lambda: self._held.abort_transaction(CALL_TIMEOUT_S), deadline, "an abort")
        except RefusedByKafka as error:
            return RefusedByKafka(str(error))
        except KafkaException as error:
            return ProducerReplaced(f"{cause}; then {text(error)}")
        return PublishAborted(cause)

    @property
    def _held(self) -> Producer:
        """The producer, asked for before each call: one that was given up while a call stayed makes no further one."""
        if self._over or self._producer is None:
            raise KafkaException(KafkaError(KafkaError._STATE, "this producer was given up"))
        return self._producer

    def _let_go(self) -> None:
        self._producer = None
