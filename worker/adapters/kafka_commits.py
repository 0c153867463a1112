"""A group's commits, read from outside the group. They tell the trainer which snapshots are current."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaException

from worker.adapters.kafka_admin import Topics, matching
from worker.adapters.kafka_config import Properties, detect_refusal
from worker.adapters.kafka_offsets import GroupOffsets
from worker.ports.log import Committed, LogUnavailable, TopicPartition


class GroupCommits:
    """Reads the committed offsets of every partition of the topics. Joins no group and commits nothing."""

    def __init__(self, bootstrap: str, group: str, topics: Sequence[str], properties: Properties) -> None:
        self._topics = Topics(bootstrap, properties)
        self._offsets = GroupOffsets(bootstrap, group, properties)
        self._names = topics

    def read(self) -> dict[TopicPartition, Committed]:
        """The commits by partition; one without a stable commit is left out. Raises LogUnavailable, RefusedByKafka."""
        try:
            counts = self._topics.all_topics()
            sources = [
                TopicPartition(topic, partition)
                for topic in matching(self._names, counts)
                for partition in range(counts[topic])
            ]
            answers = self._offsets.committed(sources)
        except KafkaException as error:
            final = detect_refusal(error, "the group's offsets")
            if final is not None:
                raise final from error
            raise LogUnavailable(f"the group's offsets: {error.args[0].str()}") from error
        return {source: answer for source, answer in answers.items() if answer and answer.offset is not None}
