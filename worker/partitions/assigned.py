"""One assigned partition as the loop sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import structlog

from worker.core.state.commit_metadata import Switch, Trail
from worker.core.state.partition_state import PartitionState
from worker.partitions.serving import Pair
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
class Lane:
    """Everything the worker holds of one assigned partition; dropped whole when anything about it is in doubt.

    `assignment` numbers the assignments of this process: outputs and snapshots carry it, and what was read under
    another assignment is neither published nor committed. `stored` is the newest snapshot that Redis has of it, `low`
    the log's first offset when it was placed.
    """

    source: TopicPartition
    assignment: int
    phase: Phase = Phase.RECOVERING
    topic_id: str = ""
    pair: Pair | None = None
    state: PartitionState | None = None
    trail: Trail | None = None
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
        self.pair = self.state = self.trail = None
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
        """What a commit of this lane would say, None where Kafka knows it already or the lane is not live."""
        if self.phase is not Phase.LIVE or self.state is None or self.trail is None:
            return None
        wanted = (self.state.next_offset, self.trail.encode())
        return Commit(*wanted) if wanted != self.committed else None


class Lanes:
    """The lanes of the present assignment, as the group protocol reports it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lanes: dict[TopicPartition, Lane] = {}
        self._assignments = 0

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))  # a copy: the status page reads from another thread

    def __len__(self) -> int:
        return len(self._lanes)

    def get(self, source: TopicPartition) -> Lane | None:
        return self._lanes.get(source)

    def holds(self, lane: Lane) -> bool:
        """Still held under the assignment it was read under, and live."""
        return self._lanes.get(lane.source) is lane and lane.phase is Phase.LIVE

    def follow(self, now: float) -> None:
        """Take the changes of assignment; `now` in monotonic seconds."""
        for change in self._source.changes():
            topic, partition = change.source
            if change.gained:
                self._assignments += 1
                self._lanes[change.source] = Lane(change.source, self._assignments, recovering_since=now)
            else:
                self._lanes.pop(change.source, None)
            log.info("assigned" if change.gained else "released", topic=topic, partition=partition)

    def forget(self, lane: Lane, now: float) -> None:
        """Drop what the lane holds and stop fetching; its next placing reads everything anew."""
        self._source.hold(lane.source)
        self._assignments += 1
        lane.assignment = self._assignments  # snapshots still being written belong to what is forgotten
        lane.forget(now)

    def wake_cold(self, now: float) -> None:
        """There is a model now: what waited for one recovers, and is scored from its first record on."""
        for lane in self:
            if lane.phase is Phase.COLD:
                self.forget(lane, now)

    def forget_all(self, now: float) -> None:
        for lane in self:
            self.forget(lane, now)
