"""Messages of the Kafka client as the port's `Records`: plain values, grouped by partition."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from confluent_kafka import Message

from worker.ports.log import Records, TopicPartition

_TIME = itemgetter(1)  # Message.timestamp() is a pair: the timestamp's type and its time


def group_by_partition(messages: list[Message], only_topic: str | None = None) -> Iterator[Records]:
    """The messages of each partition, in offset order. None of `messages` may carry an error.

    Messages arrive in runs of one partition, so runs are moved instead of single messages. When every message is of
    one topic, naming it as `only_topic` saves a lookup per message.
    """
    numbers = np.fromiter(map(Message.partition, messages), np.int64, len(messages))
    starts = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist()]
    runs: dict[int, list[Message]] = {}
    for start, stop in pairwise([*starts, len(messages)]):
        run = messages[start:stop]
        number = int(numbers[start])
        runs[number] = runs[number] + run if number in runs else run
    for number, run in runs.items():
        topics = {only_topic} if only_topic is not None else {message.topic() for message in run}
        for topic in sorted(map(str, topics)):
            of_topic = run if len(topics) == 1 else [message for message in run if message.topic() == topic]
            yield _records(TopicPartition(topic, number), of_topic)


def _records(source: TopicPartition, messages: list[Message]) -> Records:
    count = len(messages)
    values: list[Any] = list(map(Message.value, messages))
    return Records(
        source,
        _offsets(messages, count),
        np.fromiter(map(_TIME, map(Message.timestamp, messages)), np.int64, count),
        values,
        lambda i: messages[i].key(),
    )


def _offsets(messages: list[Message], count: int) -> npt.NDArray[np.int64]:
    """(n,) int64. Offsets of a partition only rise, so there are no gaps if the last is n - 1 past the first."""
    first, last = messages[0].offset() or 0, messages[-1].offset() or 0
    if last - first == count - 1:
        return np.arange(first, last + 1, dtype=np.int64)
    return np.fromiter(map(Message.offset, messages), np.int64, count)
