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

    `offsets` and `timestamps` (n,) int64, timestamps in ms since 1970 or -1; `values` None for tombstones; `key(i)`
    is lazy, since only records that alert or are rejected need one.
    """

    source: TopicPartition
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    values: Sequence[bytes | None]
    key: Callable[[int], bytes | None]

    def __len__(self) -> int:
        return len(self.values)

    def pieces(self, rows: int) -> list[Records]:
        """All of them, in pieces of about so many."""
        count = max(round(len(self) / rows), 1)
        cuts = [len(self) * i // count for i in range(count + 1)]
        return [self.part(start, stop) for start, stop in pairwise(cuts)]

    def part(self, start: int, stop: int) -> Records:
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
    """What a partition can report instead of records."""

    OFFSET_GONE = "offset gone"
    TOPIC_GONE = "topic gone"
    OTHER = "other"


@dataclass(slots=True)
class Polled:
    """What one poll brought. `ends` are partitions read up to that offset; `raised` an exception out of the client."""

    records: list[Records] = field(default_factory=list)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    faults: list[tuple[TopicPartition, Fault, str]] = field(default_factory=list)
    raised: Exception | None = None
    count: int = 0


class Change(NamedTuple):
    """An assignment (`gained`) or its end, in the order in which the group protocol told."""

    source: TopicPartition
    gained: bool


@dataclass(frozen=True, slots=True)
class Committed:
    """A committed offset; `offset` None where the group has none. `metadata` is empty where nobody wrote any."""

    offset: int | None
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Output:
    """A record to publish, and the partition whose records it came from."""

    source: TopicPartition
    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class Source(Protocol):
    """The group's consumer. Everything is called from the loop's thread; nothing here blocks for more than seconds."""

    def poll(self, limit: int, timeout: float, linger: float) -> Polled:
        """Up to `limit` records: waits `timeout` seconds for the first (not at all for 0), then `linger` for more."""

    def changes(self) -> list[Change]: ...
    def membership(self) -> object | None:
        """The group metadata that fences a transaction; None while the group has not admitted this member."""

    def committed(self, sources: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        """Per partition, at once; None where a transaction is still pending on it."""

    def start(self, source: TopicPartition, offset: int) -> None:
        """Fetch this assigned partition from `offset` on, whatever state it was in."""

    def hold(self, source: TopicPartition) -> None:
        """Stop fetching this partition; polling goes on."""

    def bounds(self, source: TopicPartition, seconds: float = 5.0) -> tuple[int, int]:
        """First offset and the offset after the last, as Kafka has them now."""

    def position(self, source: TopicPartition) -> int | None:
        """The offset after what the client has passed, which may be no record of ours: markers and aborted records have
        offsets too. None before anything was read since the last start.
        """

    def end(self, source: TopicPartition) -> int | None:
        """The offset after the last, as far as the client knows without asking."""

    def offset_at(self, source: TopicPartition, timestamp_ms: int) -> int:
        """The first offset whose record is at or after this time; the end where there is none."""

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
        """The largest record, in bytes with headers, that this output topic takes."""

    def close(self) -> None: ...


class PublishAborted(Exception):
    """Nothing of the publish happened; the same outputs may be published again under a fresh membership."""


class ProducerReplaced(Exception):
    """The outcome is unknown or the producer died: read the committed offsets back and recover from there."""


class LogUnavailable(Exception):
    """Kafka did not answer a question about a topic or an offset in time; ask again."""
