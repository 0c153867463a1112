"""A group's committed offsets, asked by a client that joins no group and commits nothing.

A consumer is asked, since the admin client of librdkafka 2.16 takes the process with it when a coordinator is loading
or has moved while it lists offsets. The consumer answers for all partitions or for none, and lets one with a pending
transaction hold up the others: those are asked apart.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka_config import Properties, for_role
from worker.ports.log import Committed, TopicPartition

_TOGETHER_S = 0.5
_APART_FIRST_S = 0.1
_APART_MOST_S = 0.5
_PASS_S = 1.0


class GroupOffsets:
    """What the loop's thread asks: a pass takes 2 s at most, and less once it is known which partitions are pending."""

    def __init__(self, bootstrap: str, group: str, properties: Properties) -> None:
        self._config = {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False,
                        **for_role(properties, "admin")}  # fmt: skip
        self._stable = Consumer({**self._config, "isolation.level": "read_committed"})
        self._any: Consumer | None = None
        # The time-out, in seconds, of each one's last question; those that wait longest for their turn first.
        self._pending: dict[TopicPartition, float] = {}

    def committed(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        """Per partition; None where a transaction is pending, or the time did not reach. Raises KafkaException, also
        where the coordinator does not answer at all.
        """
        _drain(self._stable)
        answers: dict[TopicPartition, Committed | None] = dict.fromkeys(sources)
        together = [source for source in sources if source not in self._pending]
        if together:
            answers |= _ask(self._stable, together, _TOGETHER_S)
            self._pending |= {source: _APART_FIRST_S / 2 for source in together if answers[source] is None}
        if sources and not any(answers.values()):
            self._await_coordinator(sources)
        deadline = time.monotonic() + _PASS_S
        for source in [source for source in self._pending if source in answers]:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            answers |= self._ask_apart(source, left)
        return answers

    def _ask_apart(self, source: TopicPartition, left: float) -> dict[TopicPartition, Committed | None]:
        """With a time-out that doubles from one question to the next, so that a slow network's answer arrives too."""
        patience = min(2 * self._pending.pop(source), _APART_MOST_S)
        answer = _ask(self._stable, [source], min(patience, left))
        if not answer:
            self._pending[source] = patience
        return answer

    def _await_coordinator(self, sources: Sequence[TopicPartition]) -> None:
        """Offsets whatever is pending on them, which a coordinator has at once: without them it is not there."""
        if self._any is None:
            self._any = Consumer({**self._config, "isolation.level": "read_uncommitted"})
        _drain(self._any)
        if not _ask(self._any, sources, _TOGETHER_S):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the group's coordinator does not answer"))

    def close(self) -> None:
        for consumer in (self._stable, self._any):
            if consumer is not None:
                consumer.close()


def _ask(
    consumer: Consumer, sources: Sequence[TopicPartition], seconds: float
) -> dict[TopicPartition, Committed | None]:
    """All of them, or none where no answer came in time."""
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
    """What it reports of brokers that come and go, which otherwise piles up; it has subscribed to nothing."""
    while consumer.consume(100, 0):
        pass
