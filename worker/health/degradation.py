"""How the worker's partitions are, put into numbers and words for probes, metrics and the status page."""

from __future__ import annotations

from collections.abc import Callable

from worker.partitions.assigned import AssignedPartition, Assignment, Phase
from worker.partitions.serving import ModelFeed
from worker.ports.log import Source
from worker.telemetry import Telemetry

STALE_AFTER_S = 60.0
"""A snapshot may be so much older than it is meant to be before the worker counts as degraded."""


class HealthSampler:
    """Looked at once a second by the loop's thread. `snapshot_every` in seconds, as configured."""

    def __init__(
        self,
        source: Source,
        assignment: Assignment,
        feed: ModelFeed,
        telemetry: Telemetry,
        snapshot_every: float,
        wall_ms: Callable[[], int],
    ) -> None:
        self._source = source
        self._assignment = assignment
        self._feed = feed
        self._telemetry = telemetry
        self._stale_s = snapshot_every + STALE_AFTER_S
        self._wall_ms = wall_ms
        self._caught_up = 0
        self._looked = 0.0

    def look(self, now: float) -> None:
        """`now` in monotonic seconds."""
        telemetry, assignment = self._telemetry, list(self._assignment)
        telemetry.lag = {assigned.source: lag for assigned in assignment if (lag := self._lag(assigned)) is not None}
        telemetry.blind_since = {
            assigned.source: assigned.recovering_since
            for assigned in assignment
            if assigned.phase in (Phase.RECOVERING, Phase.CATCHING_UP)
        }
        telemetry.to_catch_up = sum(to_go(assigned) for assigned in assignment)
        telemetry.catch_up_rate = (telemetry.catch_up_records - self._caught_up) / max(now - self._looked, 1e-3)
        self._caught_up, self._looked = telemetry.catch_up_records, now
        telemetry.snapshot_age = max((self._snapshot_age(assigned, now) for assigned in assignment), default=0.0)
        telemetry.degraded = self._degraded()

    def _lag(self, assigned: AssignedPartition) -> int | None:
        end = self._source.end(assigned.source)
        return max(end - assigned.committed[0], 0) if assigned.committed[0] >= 0 and end is not None else None

    def _snapshot_age(self, assigned: AssignedPartition, now: float) -> float:
        """How old, in seconds, the newest stored snapshot is, where it lacks anything; live partitions only."""
        if assigned.phase is not Phase.LIVE or assigned.state is None:
            return 0.0
        if assigned.stored is None:
            return now - assigned.recovering_since
        if assigned.stored.offset == assigned.state.next_offset:
            return 0.0
        return max((self._wall_ms() - assigned.stored.created_ms) / 1000.0, 0.0)

    def _degraded(self) -> dict[str, str]:
        telemetry, feed = self._telemetry, self._feed
        found = {}
        if not feed.reachable:
            found["redis"] = "unreachable: scoring goes on with what is in memory"
        if feed.refused is not None:
            found["champion"] = feed.refused
        if telemetry.snapshot_age > self._stale_s:
            found["snapshots"] = f"none stored for {telemetry.snapshot_age:.0f} s: a restart replays what came since"
        if telemetry.unanswered:
            found["kafka"] = f"no answer: {telemetry.unanswered}"
        if telemetry.stalled:
            found["stalled"] = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(telemetry.stalled))
        return found


def to_go(assigned: AssignedPartition) -> int:
    """Records until a partition that catches up is live, as far as offsets tell."""
    if assigned.phase is not Phase.CATCHING_UP or assigned.state is None:
        return 0
    return max(assigned.target - assigned.state.next_offset, 0)
