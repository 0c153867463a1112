"""A group's committed offsets, queried by a client that joins no group and commits nothing.

The client is a consumer, because the admin client of librdkafka 2.16 crashes the process when a coordinator is loading
or has moved while it lists offsets. A consumer answers for all partitions or for none, and one partition with a pending
transaction holds up the others. So partitions with a pending transaction are queried one by one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka_config import Properties, for_role
from worker.ports.log import Committed, TopicPartition

_ALL_S = 0.5
_FIRST_SINGLE_S = 0.1
_MAX_SINGLE_S = 0.5
_PASS_S = 1.0


class GroupOffsets:
    """Answers within 2 s, since the loop's thread waits for it; sooner once it knows which partitions are pending."""

    def __init__(self, bootstrap: str, group: str, properties: Properties) -> None:
        self._config = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            **for_role(properties, "admin"),
        }
        self._stable = Consumer({**self._config, "isolation.level": "read_committed"})
        self._any: Consumer | None = None
        # Partitions with a pending transaction, and the time-out in seconds of the last query of each. The partition
        # that has waited longest for its turn comes first.
        self._pending: dict[TopicPartition, float] = {}

    def committed(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        """The commit of each partition, or None if a transaction is pending on it or time ran out.

        Raises KafkaException, also when the coordinator does not answer at all.
        """
        _drain(self._stable)
        answers: dict[TopicPartition, Committed | None] = dict.fromkeys(sources)
        together = [source for source in sources if source not in self._pending]
        if together:
            answers |= _query(self._stable, together, _ALL_S)
            self._pending |= {source: _FIRST_SINGLE_S / 2 for source in together if answers[source] is None}
        if sources and not any(answers.values()):
            self._await_coordinator(sources)
        deadline = time.monotonic() + _PASS_S
        for source in [source for source in self._pending if source in answers]:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            answers |= self._query_single(source, left)
        return answers

    def _query_single(self, source: TopicPartition, left: float) -> dict[TopicPartition, Committed | None]:
        """The time-out doubles from one query to the next, so that answers over a slow network arrive too."""
        timeout = min(2 * self._pending.pop(source), _MAX_SINGLE_S)
        answer = _query(self._stable, [source], min(timeout, left))
        if not answer:
            self._pending[source] = timeout
        return answer

    def _await_coordinator(self, sources: Sequence[TopicPartition]) -> None:
        """Raises KafkaException if there is no coordinator.

        A live coordinator answers a read_uncommitted query at once, whatever transaction is pending.
        """
        if self._any is None:
            self._any = Consumer({**self._config, "isolation.level": "read_uncommitted"})
        _drain(self._any)
        if not _query(self._any, sources, _ALL_S):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the group's coordinator does not answer"))

    def close(self) -> None:
        for consumer in (self._stable, self._any):
            if consumer is not None:
                consumer.close()


def _query(
    consumer: Consumer, sources: Sequence[TopicPartition], seconds: float
) -> dict[TopicPartition, Committed | None]:
    """The commits of all partitions, or an empty dictionary if no answer came in time."""
    try:
        parts = consumer.committed([KafkaPartition(*source) for source in sources], seconds)
    except KafkaException as error:
        if error.args[0].code() == KafkaError._TIMED_OUT:
            return {}
        raise
    for part in parts:
        if part.error is not None:
            raise KafkaException(part.error)
    return {
        TopicPartition(part.topic, part.partition): Committed(
            part.offset if part.offset >= 0 else None, (part.metadata or "").rstrip("\0")
        )
        for part in parts
    }


def _drain(consumer: Consumer) -> None:
    """Discard the reports of brokers that come and go, which would otherwise pile up. There are no records."""
    while consumer.consume(100, 0):
        pass
