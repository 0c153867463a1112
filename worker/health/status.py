"""Liveness, readiness and the status document.

Liveness never depends on Redis or a broker: it fails only if the loop does not turn, or if a partition is stalled for
good.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from worker.config.settings import Settings
from worker.core.alerts.alert import rfc3339
from worker.core.model.bundle import Change
from worker.health.degradation import records_to_go
from worker.partitions.assigned import AssignedPartition, Assignment, Phase
from worker.partitions.model_feed import ModelFeed
from worker.telemetry import Telemetry

TURN_S = 120.0
"""Longer than the longest turn: one that replaces its producer, publishes, aborts and publishes once more, each with
its retries while Kafka is away.
"""


class Status:
    """Read by the HTTP threads; the loop never waits for it. `last_turn` returns the last turn's monotonic second."""

    def __init__(
        self,
        settings: Settings,
        assignment: Assignment,
        last_turn: Callable[[], float],
        feed: ModelFeed,
        telemetry: Telemetry,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._assignment = assignment
        self._last_turn = last_turn
        self._feed = feed
        self._telemetry = telemetry
        self._monotonic = monotonic

    def live(self) -> tuple[bool, str]:
        """The loop turns, and the watchdog has given up on no partition."""
        idle = self._monotonic() - self._last_turn()
        if idle >= TURN_S:
            return False, f"last turn {idle:.1f} s ago"
        stalled = [f"{topic}/{partition} at offset {at}" for (topic, partition), at in self._telemetry.stalled.items()]
        if stalled:
            return False, f"stalled, though there is more to read: {', '.join(stalled)}"
        return True, f"last turn {idle:.1f} s ago"

    def ready(self) -> tuple[bool, str]:
        """Assigned, has a model, caught up, and Kafka answers."""
        assignment = list(self._assignment)
        if not assignment:
            return False, "no partition assigned"
        if self._feed.latest is None:
            return False, self._feed.refused or "no model yet: collecting samples for the trainer"
        behind = [assigned for assigned in assignment if assigned.phase is not Phase.LIVE]
        if behind:
            now = self._monotonic()
            return False, "; ".join(_behind(assigned, now) for assigned in behind)
        if self._telemetry.unanswered:
            return False, f"Kafka does not answer: {self._telemetry.unanswered}"
        return True, f"{len(assignment)} partitions live"

    def status(self) -> dict[str, Any]:
        """The document of `/api/status`; no secrets."""
        latest = self._feed.latest
        ready, reason = self.ready()
        return {
            "stream": self._settings.stream,
            "ready": ready,
            "state": reason,
            "model": None
            if latest is None
            else {
                "version": latest.version,
                "kind": latest.kind,
                "bundle": latest.versions.bundle,
                "threshold": latest.versions.threshold,
                "cut": latest.threshold.cut,
                "calibration_n": latest.threshold.calibration_n,
                "alert_rate": latest.threshold.alert_rate,
                "alert_rate_configured": self._settings.threshold.alert_rate,
                "drift": latest.threshold.provenance.reason if latest.threshold.provenance.at_bound else None,
                "provenance": latest.threshold.provenance.model_dump(),
            },
            "changes": [] if latest is None else [_told(change) for change in latest.bundle.manifest.changes],
            "partitions": [self._partition(assigned) for assigned in self._assignment],
            "recovery": {
                "blind_seconds_now": round(self._telemetry.blind_now, 3),
                "records_to_go": self._telemetry.health.to_catch_up,
                "records_per_second": round(self._telemetry.health.catch_up_rate, 1),
            },
            "snapshot_age_seconds": round(self._telemetry.health.snapshot_age, 3),
            "counts": self._telemetry.summary(),
            "degraded": dict(self._telemetry.health.degraded),
            "settings": self._settings.public(),
        }

    def _partition(self, assigned: AssignedPartition) -> dict[str, Any]:
        placed = assigned.placed
        committed = placed.committed if placed is not None else None
        model = placed.model if placed is not None else None
        return {
            "topic": assigned.source.topic,
            "partition": assigned.source.partition,
            "phase": assigned.phase.value,
            "next_offset": placed.state.next_offset if placed is not None else None,
            "committed": committed.offset if committed is not None else None,
            "lag": self._telemetry.health.lag.get(assigned.source),
            "stalled": assigned.source in self._telemetry.stalled,
            "catching_up_to": placed.target if placed is not None and placed.phase is Phase.CATCHING_UP else None,
            "waiting_for": assigned.waiting_for or None,
            "version": model.version if model is not None else None,
        }


def _told(change: Change) -> dict[str, Any]:
    """A change for good that the model's rows show, with its begin in RFC 3339."""
    return change.model_dump() | {"since": None if change.since is None else rfc3339(change.since)}


def _behind(assigned: AssignedPartition, now: float) -> str:
    text = f"{assigned.source.topic}/{assigned.source.partition} {assigned.phase.value}"
    if assigned.phase is Phase.COLD:
        return text
    if assigned.phase is Phase.CATCHING_UP:
        text = f"{text}, {records_to_go(assigned)} records to go"
    elif assigned.waiting_for:
        text = f"{text}: {assigned.waiting_for}"
    return f"{text}, blind for {now - assigned.recovering_since:.1f} s"
