"""What the worker says about itself. Liveness never depends on Kafka or Redis: it asks only whether the loop turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from worker.lane import Lane, Phase
from worker.loop import Worker
from worker.settings import Settings
from worker.telemetry import Telemetry
from worker.versions import VersionFeed

STALLED_S = 30.0
"""Longer than a transaction may take with its retries, and its producer's replacement."""


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
        """The loop turns."""
        idle = self._monotonic() - self._worker.last_turn
        return idle < STALLED_S, f"last turn {idle:.1f} s ago"

    def ready(self) -> tuple[bool, str]:
        """Assigned, has a model, caught up."""
        lanes = list(self._worker.lanes)
        if not lanes:
            return False, "no partition assigned"
        if self._feed.latest is None:
            return False, self._feed.refused or "no model yet: collecting samples for the trainer"
        behind = [lane for lane in lanes if lane.phase is not Phase.LIVE]
        if behind:
            return False, "; ".join(_behind(lane) for lane in behind)
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
            "catching_up_to": lane.target if lane.phase is Phase.CATCHING_UP else None,
            "waiting_for": lane.waiting_for or None,
            "version": lane.pair.version if lane.pair else None,
        }


def _behind(lane: Lane) -> str:
    name = f"{lane.source.topic}/{lane.source.partition} {lane.phase.value}"
    if lane.phase is Phase.CATCHING_UP and lane.state is not None:
        return f"{name}, {lane.target - lane.state.next_offset} records to go"
    return f"{name}: {lane.waiting_for}" if lane.waiting_for else name
