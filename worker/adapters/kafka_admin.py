"""What only the admin client tells: which topics there are, their ids and their settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from worker.adapters.kafka_config import Properties, for_role, refused
from worker.errors import DependencyUnreachable, OffbeatError

_CALL_TIMEOUT_S = 5.0
_CREATE_S = 30.0


def matching(names: Sequence[str], topics: Iterable[str]) -> list[str]:
    """Of the topics those that are named, or matched by a name that begins with ^."""
    wanted = [re.compile(name) if name.startswith("^") else name for name in names]
    return [
        topic for topic in topics if any(topic == one if isinstance(one, str) else one.match(topic) for one in wanted)
    ]


class Topics:
    """Metadata of topics."""

    def __init__(self, bootstrap: str, properties: Properties) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, **for_role(properties, "admin")})
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
        """librdkafka's own mock cluster: no topic ids, no topic configuration."""
        if self._mock is None:
            self._mock = str(self._admin.list_topics(timeout=_CALL_TIMEOUT_S).cluster_id).startswith("mockCluster")
        return self._mock

    def all_topics(self) -> dict[str, int]:
        """Every topic with its number of partitions."""
        listed = self._admin.list_topics(timeout=_CALL_TIMEOUT_S).topics
        return {name: len(topic.partitions) for name, topic in listed.items() if topic.error is None}

    def create(self, topics: Sequence[str], partitions: int) -> None:
        """Create topics with the brokers' default settings, and wait until they exist. Raises OffbeatError."""
        for topic, created in self._admin.create_topics([NewTopic(topic, partitions) for topic in topics]).items():
            try:
                created.result(_CREATE_S)
            except KafkaException as error:
                raise OffbeatError(f"topic {topic!r} could not be created: {error.args[0].str()}") from error

    def delete(self, topics: Sequence[str]) -> None:
        """Delete topics as far as Kafka lets us: a topic that cannot be deleted stays."""
        for deleted in self._admin.delete_topics(list(topics)).values():
            deleted.exception(_CREATE_S)

    def partitions(self, topic: str) -> int:
        return len(self._admin.list_topics(topic, timeout=_CALL_TIMEOUT_S).topics[topic].partitions)

    def topic_id(self, topic: str) -> str:
        """The id Kafka gave the topic when it was created; where the broker has none, the topic's name."""
        if self.is_mock:
            return topic
        described = self._admin.describe_topics(TopicCollection([topic]), request_timeout=_CALL_TIMEOUT_S)
        return str(described[topic].result().topic_id)

    def setting(self, topic: str, name: str) -> str | None:
        """Of the topic, such as `max.message.bytes`; None where the topic or the call does not exist."""
        if self.is_mock:
            return None
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            config = self._admin.describe_configs([resource], request_timeout=_CALL_TIMEOUT_S)[resource].result()
        except KafkaException:
            return None
        entry = config.get(name)
        return str(entry.value) if entry is not None and entry.value else None
