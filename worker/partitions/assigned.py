"""The partitions that are assigned to this worker, and what it holds of each.

`Assignment.apply_changes` applies rebalances, which the callbacks in `worker/adapters/kafka_source.py` only record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import structlog

from worker.core.model.serving_model import ServingModel
from worker.core.state.commit_metadata import CommitMetadata, Switch
from worker.core.state.partition_state import PartitionState
from worker.core.state.snapshot import Snapshot
from worker.ports.log import Commit, Source, TopicPartition

log = structlog.get_logger()


class Phase(Enum):
    """RECOVERING until the committed offset and state are read; COLD without a model; then CATCHING_UP; then LIVE."""

    RECOVERING = "recovering"
    COLD = "cold"
    CATCHING_UP = "catching up"
    LIVE = "live"


@dataclass(slots=True)
class Placed:
    """What exists of a partition only after recovery has placed it. It is dropped as a whole if anything is in doubt.

    `low` is the log's first offset at that time. Catching up ends at offset `target`, and takes the version `switches`
    on its way. `committed` is what Kafka is known to have; None if that has to be written first. `stored` is the newest
    snapshot in Redis, and `captured` the offset of the last one that was captured; `in_flight` while that is written.
    `model` is None in COLD, and while catching up until the first switch.
    """

    phase: Phase
    topic_id: str
    low: int
    state: PartitionState
    metadata: CommitMetadata
    model: ServingModel | None = None
    target: int = 0
    switches: list[Switch] = field(default_factory=list)
    committed: Commit | None = None
    stored: Snapshot | None = None
    captured: int = -1
    in_flight: bool = False
    sampled_rows: int = 0

    def commit(self) -> Commit | None:
        """The commit that is due; None if Kafka has it already, or if the partition is not live."""
        if self.phase is not Phase.LIVE:
            return None
        wanted = Commit(self.state.next_offset, self.metadata.encode())
        return wanted if wanted != self.committed else None


@dataclass(slots=True)
class AssignedPartition:
    """One assigned partition, from its assignment to its revocation.

    `number` counts the assignments of this process, and rises with each recovery too: outputs and snapshots carry it,
    and those of another number are neither published nor committed. `snapshot_at` (monotonic seconds) and `collected`
    (the id of the last snapshot after which older ones were deleted) outlive a recovery, so that a partition that
    recovers often is not snapshotted each time.
    """

    source: TopicPartition
    number: int
    recovering_since: float = 0.0
    retry_at: float = 0.0
    waiting_for: str = ""
    snapshot_at: float = 0.0
    collected: str = ""
    placed: Placed | None = None

    @property
    def phase(self) -> Phase:
        return self.placed.phase if self.placed is not None else Phase.RECOVERING

    @property
    def live(self) -> Placed | None:
        """What is held of the partition, if it is live."""
        return self.placed if self.placed is not None and self.placed.phase is Phase.LIVE else None

    def wait(self, until: float, reason: str) -> None:
        """Try to place it again at `until` (monotonic seconds). Logged once per reason."""
        if self.waiting_for != reason:
            log.warning("recovery_waits", topic=self.source.topic, partition=self.source.partition, reason=reason)
        self.waiting_for = reason
        self.retry_at = until


class Assignment:
    """The partitions that Kafka has assigned to this worker, in the loop's thread."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._partitions: dict[TopicPartition, AssignedPartition] = {}
        self._numbered = 0

    def __iter__(self) -> Iterator[AssignedPartition]:
        return iter(list(self._partitions.values()))  # a copy: the status page reads from another thread

    def __len__(self) -> int:
        return len(self._partitions)

    def get(self, source: TopicPartition) -> AssignedPartition | None:
        return self._partitions.get(source)

    def publishes(self, assigned: AssignedPartition) -> bool:
        """Whether it is still assigned, under the assignment that it was read under, and live."""
        return self._partitions.get(assigned.source) is assigned and assigned.live is not None

    def apply_changes(self, now: float) -> None:
        """Apply the assignments and revocations since the last call; `now` in monotonic seconds."""
        for change in self._source.changes():
            topic, partition = change.source
            if change.gained:
                self._numbered += 1
                self._partitions[change.source] = AssignedPartition(change.source, self._numbered, now)
            else:
                self._partitions.pop(change.source, None)
            log.info("assigned" if change.gained else "released", topic=topic, partition=partition)

    def recover(self, assigned: AssignedPartition, now: float) -> None:
        """Stop fetching the partition and drop what is held of it: recovery reads everything again."""
        self._source.hold(assigned.source)
        self._numbered += 1
        assigned.number = self._numbered  # snapshots still being written belong to what was dropped
        assigned.placed = None
        assigned.retry_at = 0.0
        assigned.recovering_since = now

    def recover_all(self, now: float) -> None:
        for assigned in self:
            self.recover(assigned, now)

    def recover_cold(self, now: float) -> None:
        """Recover the partitions that waited for a model: there is one now, and it scores their first records too."""
        for assigned in self:
            if assigned.phase is Phase.COLD:
                self.recover(assigned, now)
