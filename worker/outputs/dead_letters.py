"""Dead letters: the original bytes of rejected records, with their origin and the reasons."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence

from worker.core.events.decode import Reject
from worker.errors import DeadLetterLimit
from worker.ports.log import Output, Records

WINDOW_RECORDS = 50_000
_MAX_REASONS_BYTES = 4_096


class DeadLetters:
    """Builds dead letters, and stops the worker if too many records are rejected.

    `limit` is the largest share of rejects among the last 50,000 records. Nothing is lost when `DeadLetterLimit` is
    raised, because the offsets of that batch are not committed.
    """

    def __init__(self, topic: str, size_limit: Callable[[str], int], limit: float) -> None:
        self._topic = topic
        self._size_limit = size_limit
        self._limit = limit
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._rejects = 0

    def outputs(self, records: Records, rejects: Sequence[Reject]) -> list[Output]:
        """One dead letter per reject, in order. A record that is too large for the topic is truncated and marked."""
        return [self._output(records, reject) for reject in rejects]

    def check(self, records: int, rejects: int) -> None:
        """Count one batch. Raises DeadLetterLimit."""
        self._batches.append((records, rejects))
        self._records += records
        self._rejects += rejects
        while self._records - self._batches[0][0] >= WINDOW_RECORDS:
            old_records, old_rejects = self._batches.popleft()
            self._records -= old_records
            self._rejects -= old_rejects
        if self._records >= WINDOW_RECORDS and self._rejects > self._limit * self._records:
            raise DeadLetterLimit(
                f"{self._rejects} of the last {self._records} records were rejected, more than "
                f"kafka.dead_letter_limit: {self._limit}; their reasons are on topic {self._topic!r}"
            )

    def _output(self, records: Records, reject: Reject) -> Output:
        index = reject.index
        value, key = records.values[index] or b"", records.key(index)
        headers = [
            ("offbeat-topic", records.source.topic.encode()),
            ("offbeat-partition", str(records.source.partition).encode()),
            ("offbeat-offset", str(int(records.offsets[index])).encode()),
            ("offbeat-timestamp", str(int(records.timestamps[index])).encode()),
            ("offbeat-reason", "; ".join(reject.reasons).encode("utf-8", "replace")[:_MAX_REASONS_BYTES]),
        ]
        room = self._size_limit(self._topic) - sum(len(name) + len(text) + 10 for name, text in headers) - 256
        if key is not None and len(key) > room // 2:
            headers.append(("offbeat-key-sha256", hashlib.sha256(key).hexdigest().encode()))
            key = key[: room // 2]
        room -= len(key or b"")
        if len(value) > room:
            headers += [
                ("offbeat-truncated", b"true"),
                ("offbeat-size", str(len(value)).encode()),
                ("offbeat-sha256", hashlib.sha256(value).hexdigest().encode()),
            ]
            value = value[:room]
        return Output(records.source, self._topic, key, value, headers, kind="dead_letter")
