"""Samples the condition of the worker's partitions, for probes, metrics and the status page."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from worker.config.settings import Settings
from worker.partitions.assigned import AssignedPartition, Assignment, Phase
from worker.partitions.model_feed import ModelFeed
from worker.ports.log import Source
from worker.telemetry import Health, Telemetry

STALE_AFTER_S = 60.0
"""A snapshot may be this much older than `state.snapshot_every` before the worker counts as degraded."""
RATE_GRACE_S = 10.0
"""A trainer that runs replaces a threshold of another alert rate within this time."""

log = structlog.get_logger()


class HealthSampler:
    """Samples once a second, in the loop's thread."""

    def __init__(
        self,
        source: Source,
        assignment: Assignment,
        feed: ModelFeed,
        telemetry: Telemetry,
        settings: Settings,
        wall_ms: Callable[[], int],
    ) -> None:
        self._source = source
        self._assignment = assignment
        self._feed = feed
        self._telemetry = telemetry
        self._stale_s = settings.state.snapshot_every + STALE_AFTER_S
        self._wall_ms = wall_ms
        self._alert_rate = settings.threshold.alert_rate
        self._other_rate_since: float | None = None
        self._other_rate = ""
        self._caught_up = 0
        self._sampled_at = 0.0

    def sample(self, now: float) -> None:
        """`now` in monotonic seconds."""
        assignment = list(self._assignment)
        caught_up = self._telemetry.catch_up_records
        rate = (caught_up - self._caught_up) / max(now - self._sampled_at, 1e-3)
        self._caught_up, self._sampled_at = caught_up, now
        snapshot_age = max((self._snapshot_age(assigned, now) for assigned in assignment), default=0.0)
        self._check_alert_rate(now)
        blind = (Phase.RECOVERING, Phase.CATCHING_UP)
        self._telemetry.set_health(
            Health(
                lag={assigned.source: lag for assigned in assignment if (lag := self._lag(assigned)) is not None},
                blind_since={one.source: one.recovering_since for one in assignment if one.phase in blind},
                to_catch_up=sum(records_to_go(assigned) for assigned in assignment),
                catch_up_rate=rate,
                snapshot_age=snapshot_age,
                degraded=self._degraded(snapshot_age),
            )
        )

    def _lag(self, assigned: AssignedPartition) -> int | None:
        """Records between the committed offset and the end of the log; None if either is unknown."""
        end = self._source.end(assigned.source)
        committed = assigned.placed.committed if assigned.placed is not None else None
        return max(end - committed.offset, 0) if committed is not None and end is not None else None

    def _snapshot_age(self, assigned: AssignedPartition, now: float) -> float:
        """Seconds since the newest stored snapshot of a live partition; 0 if the snapshot is complete."""
        placed = assigned.live
        if placed is None:
            return 0.0
        if placed.stored is None:
            return now - assigned.recovering_since
        if placed.stored.offset == placed.state.next_offset:
            return 0.0
        return max((self._wall_ms() - placed.stored.created_ms) / 1000.0, 0.0)

    def _check_alert_rate(self, now: float) -> None:
        """Notice, and log once, that the threshold which serves was made for another alert rate and stays."""
        model = self._feed.latest
        if model is None or model.threshold.alert_rate == self._alert_rate:
            self._other_rate_since, self._other_rate = None, ""
            return
        if self._other_rate_since is None:
            self._other_rate_since = now
        if now - self._other_rate_since < RATE_GRACE_S or self._other_rate:
            return
        self._other_rate = (
            f"the threshold that serves is for {model.threshold.alert_rate:g}, threshold.alert_rate is "
            f"{self._alert_rate:g}: start the trainer with this configuration, it replaces the threshold at once"
        )
        rates = {"serving": model.threshold.alert_rate, "configured": self._alert_rate}
        log.warning("alert_rate_not_in_effect", **rates, reason=self._other_rate)

    def _degraded(self, snapshot_age: float) -> dict[str, str]:
        """Reason to text."""
        telemetry, feed = self._telemetry, self._feed
        reasons = {}
        if not feed.reachable:
            reasons["redis"] = "unreachable: scoring goes on with what is in memory"
        if feed.refused is not None:
            reasons["champion"] = feed.refused
        if self._other_rate:
            reasons["alert_rate"] = self._other_rate
        if snapshot_age > self._stale_s:
            reasons["snapshots"] = f"none stored for {snapshot_age:.0f} s: a restart replays what came since"
        if telemetry.unanswered:
            reasons["kafka"] = f"no answer: {telemetry.unanswered}"
        if telemetry.stalled:
            reasons["stalled"] = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(telemetry.stalled))
        return reasons


def records_to_go(assigned: AssignedPartition) -> int:
    """Records until a partition that catches up is live, as far as offsets tell."""
    placed = assigned.placed
    if placed is None or placed.phase is not Phase.CATCHING_UP:
        return 0
    return max(placed.target - placed.state.next_offset, 0)
