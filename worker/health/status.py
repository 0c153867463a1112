"""What the worker says about itself. Liveness never depends on Redis or a broker: it asks only whether the loop turns
and no partition stands still for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from worker.config.settings import Settings
from worker.health.degradation import to_go
from worker.loop import Worker
from worker.partitions.assigned import Lane, Phase
from worker.partitions.serving import VersionFeed
from worker.telemetry import Telemetry

TURN_S = 120.0
"""Longer than a turn may take that replaces its producer, publishes, aborts and publishes once more, each with its
retries while Kafka is away.
"""


class Status:
    """Read from the HTTP threads; the loop never waits for it."""

    def __init__(
        self,
        settings: Settings,
        worker: Worker,
        feed: VersionFeed,
        telemetry: Telemetry,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._feed = feed
        self._telemetry = telemetry
        self._monotonic = monotonic

    def live(self) -> tuple[bool, str]:
        """The loop turns, and the watchdog has given up on no partition."""
        idle = self._monotonic() - self._worker.last_turn
        if idle >= TURN_S:
            return False, f"last turn {idle:.1f} s ago"
        stalled = [f"{topic}/{partition} at offset {at}" for (topic, partition), at in self._telemetry.stalled.items()]
        if stalled:
            return False, f"stalled, though there is more to read: {', '.join(stalled)}"
        return True, f"last turn {idle:.1f} s ago"

    def ready(self) -> tuple[bool, str]:
        """Assigned, has a model, caught up, and Kafka answers."""
        lanes = list(self._worker.lanes)
        if not lanes:
            return False, "no partition assigned"
        if self._feed.latest is None:
            return False, self._feed.refused or "no model yet: collecting samples for the trainer"
        behind = [lane for lane in lanes if lane.phase is not Phase.LIVE]
        if behind:
            now = self._monotonic()
            return False, "; ".join(_behind(lane, now) for lane in behind)
        if self._telemetry.unanswered:
            return False, f"Kafka does not answer: {self._telemetry.unanswered}"
        return True, f"{len(lanes)} partitions live"

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
                "calibration_n": latest.threshold.n,
                "alert_rate": latest.threshold.alert_rate,
                "provenance": latest.threshold.provenance.model_dump(),
            },
            "partitions": [self._partition(lane) for lane in self._worker.lanes],
            "recovery": {
                "blind_seconds_now": round(self._telemetry.blind_now, 3),
                "records_to_go": self._telemetry.to_catch_up,
                "records_per_second": round(self._telemetry.catch_up_rate, 1),
            },
            "snapshot_age_seconds": round(self._telemetry.snapshot_age, 3),
            "counts": self._telemetry.summary(),
            "degraded": dict(self._telemetry.degraded),
            "settings": self._settings.public(),
        }

    def _partition(self, lane: Lane) -> dict[str, Any]:
        state = lane.state
        return {
            "topic": lane.source.topic,
            "partition": lane.source.partition,
            "phase": lane.phase.value,
            "next_offset": state.next_offset if state else None,
            "committed": lane.committed[0] if lane.committed[0] >= 0 else None,
            "lag": self._telemetry.lag.get(lane.source),
            "stalled": lane.source in self._telemetry.stalled,
            "catching_up_to": lane.target if lane.phase is Phase.CATCHING_UP else None,
            "waiting_for": lane.waiting_for or None,
            "version": lane.pair.version if lane.pair else None,
        }


def _behind(lane: Lane, now: float) -> str:
    text = f"{lane.source.topic}/{lane.source.partition} {lane.phase.value}"
    if lane.phase is Phase.COLD:
        return text
    if lane.phase is Phase.CATCHING_UP:
        text = f"{text}, {to_go(lane)} records to go"
    elif lane.waiting_for:
        text = f"{text}: {lane.waiting_for}"
    return f"{text}, blind for {now - lane.recovering_since:.1f} s"
