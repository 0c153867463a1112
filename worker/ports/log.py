"""The ports to the log: what the loop needs of Kafka, without Kafka's types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt


class TopicPartition(NamedTuple):
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Records:
    """n records of one partition in offset order.

    `offsets` and `timestamps` (n,) int64, timestamps in ms since 1970 or -1. The value of a tombstone is None. `key(i)`
    is lazy, because only records that raise an alert or are rejected need it.
    """

    source: TopicPartition
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    values: Sequence[bytes | None]
    key: Callable[[int], bytes | None]

    def __len__(self) -> int:
        return len(self.values)

    def pieces(self, rows: int) -> list[Records]:
        """All of them, in pieces of about `rows` records."""
        count = max(round(len(self) / rows), 1)
        cuts = [len(self) * i // count for i in range(count + 1)]
        return [self.slice(start, stop) for start, stop in pairwise(cuts)]

    def slice(self, start: int, stop: int) -> Records:
        if start == 0 and stop == len(self.values):
            return self
        key = self.key
        return Records(
            self.source,
            self.offsets[start:stop],
            self.timestamps[start:stop],
            self.values[start:stop],
            lambda i: key(start + i),
        )


class Fault(Enum):
    """An error that a partition reports instead of records."""

    OFFSET_GONE = "offset gone"
    TOPIC_GONE = "topic gone"
    OTHER = "other"


@dataclass(slots=True)
class Polled:
    """The result of one poll.

    `ends` are partitions that were read to their end, with the offset there. `raised` is an exception of the client.
    """

    records: list[Records] = field(default_factory=list)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    faults: list[tuple[TopicPartition, Fault, str]] = field(default_factory=list)
    raised: Exception | None = None
    count: int = 0


class Change(NamedTuple):
    """An assignment (`gained`) or its end, in the order of the rebalance callbacks."""

    source: TopicPartition
    gained: bool


@dataclass(frozen=True, slots=True)
class Committed:
    """What the group has committed: `offset` is None if there is none, and `metadata` empty if nobody wrote any."""

    offset: int | None
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """An offset (the next record's) and its metadata, to be committed."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Output:
    """A record to publish, and the partition whose records it came from.

    `kind` is an alert's kind, or `dead_letter` or `score`; `status` and `severity` are an alert's, else empty. They are
    for counting, and are not published.
    """

    source: TopicPartition
    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    kind: str
    status: str = ""
    severity: str = ""


class Source(Protocol):
    """The group's consumer. All calls come from the loop's thread, and none may block for more than seconds."""

    def poll(self, limit: int, timeout: float, linger: float) -> Polled:
        """Up to `limit` records. Waits `timeout` seconds for the first one, then `linger` seconds for more."""

    def changes(self) -> list[Change]: ...
    def membership(self) -> object | None:
        """The group metadata that fences a transaction; None while the group has not admitted this member."""

    def committed(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        """What is committed per partition, at once; None for a partition with a pending transaction."""

    def start(self, source: TopicPartition, offset: int) -> None:
        """Fetch this assigned partition from `offset` on, whether it was fetched or held before."""

    def hold(self, source: TopicPartition) -> None:
        """Stop fetching this partition; polling goes on."""

    def bounds(self, source: TopicPartition, seconds: float = 5.0) -> tuple[int, int]:
        """The first offset and the offset after the last, queried from Kafka now. Raises LogUnavailable."""

    def position(self, source: TopicPartition) -> int | None:
        """The offset after the last one that the client has passed; None if it has read nothing since the last start.

        This may be past the last record that was delivered: transaction markers and aborted records have offsets too.
        """

    def end(self, source: TopicPartition) -> int | None:
        """The offset after the last, as far as the client knows without a query."""

    def offset_at(self, source: TopicPartition, timestamp_ms: int) -> int:
        """The first offset whose record is at or after this time; the end if there is none. Raises LogUnavailable."""

    def partitions(self, topic: str) -> int: ...
    def topic_id(self, topic: str) -> str: ...
    def close(self) -> None: ...


class Sink(Protocol):
    """Publishes outputs and commits offsets, in one transaction where delivery is exactly_once."""

    def publish(
        self, outputs: Sequence[Output], commits: Mapping[TopicPartition, Commit], membership: object | None
    ) -> None:
        """Returns once committed. Raises `PublishAborted` or `ProducerReplaced`; any other error ends the worker."""

    def limit(self, topic: str) -> int:
        """The largest record that this output topic takes, in bytes with headers."""

    def close(self) -> None: ...


class PublishAborted(Exception):
    """The transaction was aborted: the same outputs may be published again under a fresh membership."""


class ProducerReplaced(Exception):
    """The outcome is unknown or the producer failed: read the committed offsets back and recover from there."""


class LogUnavailable(Exception):
    """Kafka did not answer a query about a topic or an offset in time; repeat it."""
