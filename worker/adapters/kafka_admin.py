"""What only the admin client tells: topic ids, stable offsets per partition, the limits of the output topics."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from worker.adapters.kafka_config import Properties, for_role, refused
from worker.errors import DependencyUnreachable
from worker.streams import Committed, TopicPartition

_CALL_TIMEOUT_S = 5.0
_COORDINATOR = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
}


class Topics:
    """Metadata of topics and a group's offsets."""

    def __init__(self, bootstrap: str, group: str, properties: Properties) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, **for_role(properties, "admin")})
        self._group = group
        self._bootstrap = bootstrap
        self._mock: bool | None = None

    def await_broker(self, seconds: float) -> None:
        """Raises DependencyUnreachable when no broker answers in time, RefusedByKafka when one says no."""
        try:
            self._admin.list_topics(timeout=seconds)
        except KafkaException as error:
            final = refused(error, "the connection")
            if final is not None:
                raise final from error
            raise DependencyUnreachable(
                f"kafka.bootstrap_servers: no broker answered at {self._bootstrap} within {seconds:.0f} s: "
                f"{error.args[0].str()}"
            ) from error

    @property
    def is_mock(self) -> bool:
        """librdkafka's own mock cluster: no topic ids, no listing of offsets, no topic configuration."""
        if self._mock is None:
            self._mock = str(self._admin.list_topics(timeout=_CALL_TIMEOUT_S).cluster_id).startswith("mockCluster")
        return self._mock

    def committed(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        """Stable offsets at once, per partition; None for those with a transaction pending. Raises KafkaException, also
        while the group's coordinator is not ready.
        """
        self._await_coordinator()
        request = ConsumerGroupTopicPartitions(self._group, [KafkaPartition(*s) for s in sources])
        future = self._admin.list_consumer_group_offsets(
            [request], require_stable=True, request_timeout=_CALL_TIMEOUT_S
        )[self._group]
        answers: dict[TopicPartition, Committed | None] = {}
        for part in future.result().topic_partitions:
            source = TopicPartition(part.topic, part.partition)
            if part.error is None:
                offset = part.offset if part.offset is not None and part.offset >= 0 else None
                answers[source] = Committed(offset, (part.metadata or "").rstrip("\0"))
            elif part.error.code() == KafkaError.UNSTABLE_OFFSET_COMMIT:
                answers[source] = None
            else:
                raise KafkaException(part.error)
        return answers

    def _await_coordinator(self) -> None:
        # librdkafka 2.16 dereferences a consumer that an admin client does not have, and takes the process with it,
        # when the answer to a listing of offsets says that the coordinator is loading or has moved. Another question
        # asks it first; what it says of the group itself (unknown, may not be described) does not matter here.
        try:
            self._admin.describe_consumer_groups([self._group], request_timeout=_CALL_TIMEOUT_S)[self._group].result()
        except KafkaException as error:
            if error.args[0].code() in _COORDINATOR or error.args[0].retriable():
                raise

    def all_topics(self) -> dict[str, int]:
        """Every topic with its number of partitions."""
        listed = self._admin.list_topics(timeout=_CALL_TIMEOUT_S).topics
        return {name: len(topic.partitions) for name, topic in listed.items() if topic.error is None}

    def partitions(self, topic: str) -> int:
        return len(self._admin.list_topics(topic, timeout=_CALL_TIMEOUT_S).topics[topic].partitions)

    def topic_id(self, topic: str) -> str:
        """The id Kafka gave the topic when it was created; where the broker has none, the topic's name."""
        if self.is_mock:
            return topic
        described = self._admin.describe_topics(TopicCollection([topic]), request_timeout=_CALL_TIMEOUT_S)
        return str(described[topic].result().topic_id)

    def max_message_bytes(self, topic: str) -> int | None:
        """The topic's `max.message.bytes`; None where the topic or the call does not exist."""
        if self.is_mock:
            return None
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            config = self._admin.describe_configs([resource], request_timeout=_CALL_TIMEOUT_S)[resource].result()
        except KafkaException:
            return None
        entry = config.get("max.message.bytes")
        return int(entry.value) if entry is not None and entry.value else None
