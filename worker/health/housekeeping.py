"""Periodic work between batches: garbage collection, watchdog, health samples, the summary, and topic ids."""

from __future__ import annotations

import gc

import structlog

from worker.health.degradation import HealthSampler
from worker.health.watchdog import Watchdog
from worker.partitions.assigned import Assignment, Phase
from worker.partitions.snapshot_audit import SnapshotAudit
from worker.ports.log import LogUnavailable, Source
from worker.telemetry import Telemetry

LOOK_EVERY_S = 1.0
SUMMARY_EVERY_S = 10.0
TOPIC_CHECK_S = 60.0

log = structlog.get_logger()


class Housekeeping:
    """Called by the loop after each turn."""

    def __init__(
        self,
        source: Source,
        assignment: Assignment,
        sampler: HealthSampler,
        watchdog: Watchdog,
        audit: SnapshotAudit,
        telemetry: Telemetry,
    ) -> None:
        self._source = source
        self._assignment = assignment
        self._sampler = sampler
        self._watchdog = watchdog
        self._audit = audit
        self._telemetry = telemetry
        self._next_look = 0.0
        self._next_summary = 0.0
        self._next_topic_check = 0.0

    def keep(self, now: float) -> None:
        """Do the work that is due; `now` in monotonic seconds."""
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY_S
            self._watchdog.watch(now)
            self._audit.exchange()
            self._sampler.sample(now)
        if now >= self._next_summary:
            gc.collect()
            self._next_summary = now + SUMMARY_EVERY_S
            self._summarise()
        if now >= self._next_topic_check:
            self._check_topics(now)
            self._next_topic_check = now + TOPIC_CHECK_S

    def _summarise(self) -> None:
        telemetry = self._telemetry
        live = sum(assigned.phase is Phase.LIVE for assigned in self._assignment)
        health = telemetry.health
        log.info(
            "summary",
            partitions=len(self._assignment),
            live=live,
            lag=sum(health.lag.values()),
            degraded=sorted(health.degraded),
            **telemetry.summary(),
        )

    def _check_topics(self, now: float) -> None:
        """A topic that is deleted and recreated quickly would otherwise be read on silently."""
        for topic in {assigned.source.topic for assigned in self._assignment}:
            try:
                topic_id = self._source.topic_id(topic)
            except LogUnavailable as error:
                log.warning("topic_not_checked", topic=topic, error=str(error))
                continue
            for assigned in self._assignment:
                placed = assigned.placed
                if assigned.source.topic == topic and placed is not None and placed.topic_id != topic_id:
                    log.warning("topic_recreated", topic=topic, partition=assigned.source.partition)
                    self._assignment.recover(assigned, now)
