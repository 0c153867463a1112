"""The group's consumer behind the `Source` port.

Rebalance callbacks only record a change and acknowledge it. They never raise, because an exception in a callback
loses the records of the `consume()` call around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka_admin import Topics
from worker.adapters.kafka_config import Properties, consumer_properties, detect_refusal
from worker.adapters.kafka_offsets import GroupOffsets
from worker.adapters.kafka_records import group_by_partition
from worker.ports.log import Change, Committed, Fault, LogUnavailable, Polled, TopicPartition

ConsumerFactory = Callable[[dict[str, Any]], Consumer]
"""Makes a client of librdkafka's properties."""
_CALL_TIMEOUT_S = 5.0
_OFFSET_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}
_TOPIC_GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


class KafkaSource:
    """Subscribes on construction; the first `poll` joins the group."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topics: Sequence[str],
        properties: Properties,
        consumer_factory: ConsumerFactory | None = None,
    ) -> None:
        self._topics = Topics(bootstrap, properties)
        self._offsets = GroupOffsets(bootstrap, group, properties)
        self._consumer = (consumer_factory or Consumer)(consumer_properties(bootstrap, group, properties))
        self._only_topic = topics[0] if len(topics) == 1 and not topics[0].startswith("^") else None
        self._changes: list[Change] = []
        self._assigned: set[TopicPartition] = set()
        self._fetched: set[TopicPartition] = set()
        self._consumer.subscribe(list(topics), on_assign=self._on_assign, on_revoke=self._on_end, on_lost=self._on_end)

    # Rebalance callbacks, which the client makes inside poll().

    def _on_assign(self, consumer: Consumer, parts: list[KafkaPartition]) -> None:
        # Acknowledge, but fetch nothing yet: recovery finds out where each partition starts, so that one that has to
        # wait does not block the others.
        self._acknowledge(consumer.incremental_assign, [])
        self._assigned.update(_source_of(p) for p in parts)
        self._changes.extend(Change(_source_of(p), gained=True) for p in parts)

    def _on_end(self, consumer: Consumer, parts: list[KafkaPartition]) -> None:
        # Revoked and lost are the same to us: the partition's next owner reads again whatever is not committed.
        ended = {_source_of(p) for p in parts}
        self._acknowledge(consumer.incremental_unassign, sorted(ended & self._fetched))
        self._assigned -= ended
        self._fetched -= ended
        self._changes.extend(Change(source, gained=False) for source in sorted(ended))

    def _acknowledge(self, call: Callable[[list[KafkaPartition]], None], sources: list[TopicPartition]) -> None:
        # A failure means that the group has already moved on; the next callback brings the new assignment.
        with suppress(KafkaException):
            call([KafkaPartition(*source) for source in sources])

    def changes(self) -> list[Change]:
        changes, self._changes = self._changes, []
        return changes

    def membership(self) -> object | None:
        return self._consumer.consumer_group_metadata() if self._consumer.memberid() else None

    # Records.

    def poll(self, limit: int, timeout: float, linger: float) -> Polled:
        polled = Polled()
        try:
            # consume() waits for the full number of records. So wait for the first one only, then for a short linger.
            messages = self._consumer.consume(1, timeout) if timeout else []
            if messages or not timeout:
                messages += self._consumer.consume(limit - len(messages), linger)
        except KafkaException as error:
            final = detect_refusal(error, "the consumer")
            if final is not None:
                raise final from error
            polled.raised = error
            return polled
        except Exception as error:  # the client may have lost records that it had fetched: never continue after this
            polled.raised = error
            return polled
        if messages:
            self._sort(messages, polled)
        return polled

    def _sort(self, messages: list[Message], polled: Polled) -> None:
        if any(map(Message.error, messages)):
            good = []
            for message in messages:
                error = message.error()
                if error is None:
                    good.append(message)
                else:
                    self._report(message, error, polled)
            messages = good
        polled.count = len(messages)
        if messages:
            polled.records += group_by_partition(messages, self._only_topic)

    def _report(self, message: Message, error: KafkaError, polled: Polled) -> None:
        code = error.code()
        topic, partition = message.topic(), message.partition()
        if topic is None or partition is None or partition < 0:
            final = detect_refusal(error, "the consumer")
            if final is not None:
                raise final
            return  # a broker does not answer: librdkafka keeps trying, and logs it
        source = TopicPartition(topic, partition)
        if code == KafkaError._PARTITION_EOF:
            polled.ends[source] = message.offset() or 0
        elif code in _OFFSET_GONE:
            polled.faults.append((source, Fault.OFFSET_GONE, error.str()))
        elif code in _TOPIC_GONE:
            polled.faults.append((source, Fault.TOPIC_GONE, error.str()))
        else:
            final = detect_refusal(error, f"topic {topic!r}")
            if final is not None:
                raise final
            polled.faults.append((source, Fault.OTHER, error.str()))

    # Offsets and positions.

    def committed(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        with _query("the committed offsets"):
            return self._offsets.committed(sources)

    def commit(self, offsets: list[KafkaPartition]) -> None:
        """A plain synchronous commit, for `delivery: at_least_once`."""
        self._consumer.commit(offsets=offsets, asynchronous=False)

    def start(self, source: TopicPartition, offset: int) -> None:
        if source in self._assigned:
            self.hold(source)
            part = KafkaPartition(source.topic, source.partition, offset)
            self._consumer.incremental_assign([part])
            self._consumer.resume([part])  # a pause outlives an assignment in the client
            self._fetched.add(source)

    def hold(self, source: TopicPartition) -> None:
        # Unassigned instead of paused: a partition whose offset is no longer in the log cannot be sought.
        if source in self._fetched:
            with suppress(KafkaException):  # the client has already dropped it by itself
                self._consumer.incremental_unassign([KafkaPartition(*source)])
            self._fetched.discard(source)

    def bounds(self, source: TopicPartition, seconds: float = _CALL_TIMEOUT_S) -> tuple[int, int]:
        with _query("the bounds of a partition"):
            low, high = self._consumer.get_watermark_offsets(KafkaPartition(*source), seconds)
        return low, high

    def position(self, source: TopicPartition) -> int | None:
        offset = self._consumer.position([KafkaPartition(*source)])[0].offset
        return offset if offset >= 0 else None

    def end(self, source: TopicPartition) -> int | None:
        high = self._consumer.get_watermark_offsets(KafkaPartition(*source), cached=True)[1]
        return high if high >= 0 else None

    def offset_at(self, source: TopicPartition, timestamp_ms: int) -> int:
        query = KafkaPartition(source.topic, source.partition, timestamp_ms)
        with _query("an offset by time"):
            answer = self._consumer.offsets_for_times([query], _CALL_TIMEOUT_S)[0]
        return int(answer.offset) if answer.offset >= 0 else self.bounds(source)[1]

    def partitions(self, topic: str) -> int:
        with _query(f"the partitions of {topic!r}"):
            return self._topics.partitions(topic)

    def topic_id(self, topic: str) -> str:
        with _query(f"the id of topic {topic!r}"):
            return self._topics.topic_id(topic)

    def close(self) -> None:
        self._consumer.close()
        self._offsets.close()


@contextmanager
def _query(what: str) -> Iterator[None]:
    """Translate the client's errors into LogUnavailable, or RefusedByKafka if another try will not help."""
    try:
        yield
    except KafkaException as error:
        final = detect_refusal(error, what)
        if final is not None:
            raise final from error
        raise LogUnavailable(f"{what}: {error.args[0].str()}") from error


def _source_of(part: KafkaPartition) -> TopicPartition:
    return TopicPartition(part.topic, part.partition)
