"""A group's commits seen from outside it: what the trainer reads to find the snapshots that count."""

from __future__ import annotations

import re
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka_admin import Topics
from worker.adapters.kafka_config import Properties, for_role, refused
from worker.streams import Committed, LogUnavailable, TopicPartition

_CALL_TIMEOUT_S = 5.0


class GroupCommits:
    """Committed offsets of every partition of the topics; joins no group and commits nothing."""

    def __init__(self, bootstrap: str, group: str, topics: Sequence[str], properties: Properties) -> None:
        self._admin = Topics(bootstrap, group, properties)
        self._config = {**for_role(properties, "consumer"), "bootstrap.servers": bootstrap, "group.id": group,
                        "enable.auto.commit": False}  # fmt: skip
        self._names = [re.compile(topic) if topic.startswith("^") else topic for topic in topics]
        self._asker: Consumer | None = None

    def read(self) -> dict[TopicPartition, Committed]:
        """Partitions with a stable commit. Raises LogUnavailable, RefusedByKafka."""
        try:
            sources = [
                TopicPartition(topic, partition)
                for topic, count in self._admin.all_topics().items()
                if any(topic == name if isinstance(name, str) else name.match(topic) for name in self._names)
                for partition in range(count)
            ]
            answers = self._ask(sources) if sources else {}
        except KafkaException as error:
            final = refused(error, "the group's offsets")
            if final is not None:
                raise final from error
            raise LogUnavailable(f"the group's offsets: {error.args[0].str()}") from error
        return {source: answer for source, answer in answers.items() if answer and answer.offset is not None}

    def _ask(self, sources: list[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        if not self._admin.is_mock:
            return self._admin.committed(sources)
        if self._asker is None:
            self._asker = Consumer(self._config)
        answers = self._asker.committed([KafkaPartition(*s) for s in sources], _CALL_TIMEOUT_S)
        return {
            TopicPartition(a.topic, a.partition): Committed(a.offset if a.offset >= 0 else None, a.metadata or "")
            for a in answers
        }
