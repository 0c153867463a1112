"""One assigned partition as the loop sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import structlog

from worker.core.state.commit_metadata import CommitMetadata, Switch
from worker.core.state.partition_state import PartitionState
from worker.partitions.serving import ServingModel
from worker.ports.log import Commit, Source, TopicPartition
from worker.ports.stores import Snapshot

log = structlog.get_logger()


class Phase(Enum):
    """RECOVERING until the committed offset and state are read; COLD without a model; then CATCHING_UP; then LIVE."""

    RECOVERING = "recovering"
    COLD = "cold"
    CATCHING_UP = "catching up"
    LIVE = "live"


@dataclass(slots=True)
class AssignedPartition:
    """Everything the worker holds of one assigned partition; dropped whole when anything about it is in doubt.

    `assignment_number` numbers the assignments of this process: outputs and snapshots carry it, and what was read under
    another assignment is neither published nor committed. `stored` is the newest snapshot that Redis has of it, `low`
    the log's first offset when it was placed.
    """

    source: TopicPartition
    assignment_number: int
    phase: Phase = Phase.RECOVERING
    topic_id: str = ""
    model: ServingModel | None = None
    state: PartitionState | None = None
    metadata: CommitMetadata | None = None
    target: int = 0
    replay: list[Switch] = field(default_factory=list)
    committed: tuple[int, str] = (-1, "")
    low: int = 0
    stored: Snapshot | None = None
    in_flight: bool = False
    collected: str = ""
    snapshot_offset: int = -1
    snapshot_at: float = 0.0
    retry_at: float = 0.0
    waiting_for: str = ""
    sampled_rows: int = 0
    recovering_since: float = 0.0

    def forget(self, now: float) -> None:
        """Drop state and position; recovery reads both again. The assignment stays."""
        self.phase = Phase.RECOVERING
        self.model = self.state = self.metadata = None
        self.replay = []
        self.committed = (-1, "")
        self.stored = None
        self.in_flight = False
        self.snapshot_offset = -1
        self.retry_at = 0.0
        self.recovering_since = now

    def wait(self, until: float, reason: str) -> None:
        """To be placed later; said once per reason."""
        if self.waiting_for != reason:
            log.warning("recovery_waits", topic=self.source.topic, partition=self.source.partition, reason=reason)
        self.waiting_for = reason
        self.retry_at = until

    def commit(self) -> Commit | None:
        """What a commit of this partition would say, None where Kafka knows it already or the partition is not live."""
        if self.phase is not Phase.LIVE or self.state is None or self.metadata is None:
            return None
        wanted = (self.state.next_offset, self.metadata.encode())
        return Commit(*wanted) if wanted != self.committed else None


class Assignment:
    """The partitions of the present assignment, as the group protocol reports it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._assignment: dict[TopicPartition, AssignedPartition] = {}
        self._numbered = 0

    def __iter__(self) -> Iterator[AssignedPartition]:
        return iter(list(self._assignment.values()))  # a copy: the status page reads from another thread

    def __len__(self) -> int:
        return len(self._assignment)

    def get(self, source: TopicPartition) -> AssignedPartition | None:
        return self._assignment.get(source)

    def holds(self, assigned: AssignedPartition) -> bool:
        """Still held under the assignment it was read under, and live."""
        return self._assignment.get(assigned.source) is assigned and assigned.phase is Phase.LIVE

    def follow(self, now: float) -> None:
        """Take the changes of assignment; `now` in monotonic seconds."""
        for change in self._source.changes():
            topic, partition = change.source
            if change.gained:
                self._numbered += 1
                self._assignment[change.source] = AssignedPartition(change.source, self._numbered, recovering_since=now)
            else:
                self._assignment.pop(change.source, None)
            log.info("assigned" if change.gained else "released", topic=topic, partition=partition)

    def forget(self, assigned: AssignedPartition, now: float) -> None:
        """Drop what the partition holds and stop fetching; its next placing reads everything anew."""
        self._source.hold(assigned.source)
        self._numbered += 1
        assigned.assignment_number = self._numbered  # snapshots still being written belong to what is forgotten
        assigned.forget(now)

    def wake_cold(self, now: float) -> None:
        """There is a model now: what waited for one recovers, and is scored from its first record on."""
        for assigned in self:
            if assigned.phase is Phase.COLD:
                self.forget(assigned, now)

    def forget_all(self, now: float) -> None:
        for assigned in self:
            self.forget(assigned, now)
