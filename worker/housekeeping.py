"""What is done now and then between batches: collect garbage, sum up, compare topic ids."""

from __future__ import annotations

import gc

import structlog

from worker.lane import Lanes, Phase
from worker.streams import LogUnavailable, Source
from worker.telemetry import Telemetry
from worker.versions import VersionFeed

SUMMARY_EVERY_S = 10.0
TOPIC_CHECK_S = 60.0

log = structlog.get_logger()


class Housekeeping:
    def __init__(self, source: Source, lanes: Lanes, feed: VersionFeed, telemetry: Telemetry) -> None:
        self._source = source
        self._lanes = lanes
        self._feed = feed
        self._telemetry = telemetry
        self._next_summary = 0.0
        self._next_topic_check = 0.0

    def keep(self, now: float) -> None:
        """Do what is due; `now` in monotonic seconds."""
        if now >= self._next_summary:
            gc.collect()
            self._next_summary = now + SUMMARY_EVERY_S
            self._summarise()
        if now >= self._next_topic_check:
            self._check_topics(now)
            self._next_topic_check = now + TOPIC_CHECK_S

    def _summarise(self) -> None:
        telemetry, feed = self._telemetry, self._feed
        lag = {}
        for lane in self._lanes:
            end = self._source.end(lane.source)
            if lane.committed[0] >= 0 and end is not None:
                lag[lane.source] = max(end - lane.committed[0], 0)
        degraded = {} if feed.reachable else {"redis": "unreachable: scoring goes on with what is in memory"}
        if feed.refused is not None:
            degraded["champion"] = feed.refused
        telemetry.lag, telemetry.degraded = lag, degraded
        live = sum(lane.phase is Phase.LIVE for lane in self._lanes)
        log.info("summary", partitions=len(self._lanes), live=live, lag=sum(lag.values()), degraded=sorted(degraded),
                 **telemetry.summary())  # fmt: skip

    def _check_topics(self, now: float) -> None:
        """A topic deleted and created again quickly is otherwise read on without a word."""
        for topic in {lane.source.topic for lane in self._lanes}:
            try:
                topic_id = self._source.topic_id(topic)
            except LogUnavailable as error:
                log.warning("topic_not_checked", topic=topic, error=str(error))
                continue
            for lane in self._lanes:
                if lane.source.topic == topic and lane.phase is not Phase.RECOVERING and lane.topic_id != topic_id:
                    log.warning("topic_recreated", topic=topic, partition=lane.source.partition)
                    self._lanes.forget(lane, now)
