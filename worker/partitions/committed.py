"""Reading what the group's commits say about their partitions."""

from __future__ import annotations

import structlog

from worker.core.state.commit_metadata import CommitMetadata
from worker.ports.log import Source, TopicPartition

log = structlog.get_logger()


def read_metadata(source: TopicPartition, metadata: str) -> CommitMetadata | None:
    """None for a commit without our metadata: an operator or another program made it."""
    if not metadata:
        return None
    try:
        return CommitMetadata.decode(metadata)
    except ValueError as error:
        log.error("commit_metadata_foreign", topic=source.topic, partition=source.partition, error=str(error))
        return None


def partitions_at_start(source: Source, topic: str) -> int:
    """The least number of partitions that any commit of the group recorded; the topic's number now if there is none."""
    count = source.partitions(topic)
    commits = source.committed([TopicPartition(topic, i) for i in range(count)])
    known = [read_metadata(partition, commit.metadata) for partition, commit in commits.items() if commit is not None]
    return min((metadata.partitions for metadata in known if metadata is not None), default=count)
