"""Finds partitions that stand still although there is more to read: clients have been known to freeze one silently.

The first remedy is in process: the partition is recovered from its commit, which positions the client anew. If that
does not help, the partition is reported as stalled and `/livez` fails.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from worker.partitions.assigned import AssignedPartition, Assignment, Phase
from worker.ports.log import LogUnavailable, Source, TopicPartition
from worker.telemetry import Telemetry

STALL_S = 45.0
"""Longer than a client takes to come back to a broker that was away, with its pauses of 10 s between attempts."""
QUERY_AFTER_S = 10.0
QUERIES_AT_ONCE = 10
_ANSWER_S = 1.0
_LONGEST_STEP_S = 2.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Seen:
    """What was last seen of a partition. Times are in seconds of the watchdog's own clock.

    `place` holds the next record's offset and the client's position, which also passes transaction markers and aborted
    records. `behind_since` is set while Kafka is known to have more. `positioned_at` is where the partition stood when
    it was recovered for standing still.
    """

    place: tuple[int, int]
    moved: float
    queried: float
    behind_since: float | None = None
    unanswered: str = ""
    positioned_at: int | None = None
    stalled: bool = False


class Watchdog:
    """Finds partitions that do not move although the log has more.

    A partition that waits for a known cause (Redis, a pending transaction, a model) is not stalled: only partitions
    that read are watched, and only while Kafka answers. A turn that took long counts as two seconds, because nothing
    could move during it.
    """

    def __init__(self, source: Source, assignment: Assignment, telemetry: Telemetry) -> None:
        self._source = source
        self._assignment = assignment
        self._telemetry = telemetry
        self._seen: dict[TopicPartition, _Seen] = {}
        self._clock = 0.0
        self._last_watch: float | None = None
        self._quiet_until = 0.0

    def watch(self, now: float) -> None:
        """Called about once a second from the loop's thread; `now` in monotonic seconds.

        Kafka is queried only about partitions that did not move for `QUERY_AFTER_S`.
        """
        self._clock += min(now - (self._last_watch if self._last_watch is not None else now), _LONGEST_STEP_S)
        self._last_watch = now
        assignment = {assigned.source: assigned for assigned in self._assignment}
        self._seen = {source: seen for source, seen in self._seen.items() if source in assignment}
        reading = [assigned for assigned in assignment.values() if assigned.phase in (Phase.LIVE, Phase.CATCHING_UP)]
        for source in self._seen.keys() - {assigned.source for assigned in reading}:
            self._seen[source].moved, self._seen[source].behind_since = self._clock, None
        standing = [assigned for assigned in reading if self._stands_still(assigned)]
        if now >= self._quiet_until:
            longest_ago = sorted(standing, key=lambda assigned: self._seen[assigned.source].queried)
            for assigned in longest_ago[:QUERIES_AT_ONCE]:
                if not self._query(assigned, now):
                    break
        watched = {assigned.source: self._seen[assigned.source] for assigned in reading}
        self._telemetry.set_stalled(
            {source: max(seen.place) for source, seen in watched.items() if seen.stalled},
            next((seen.unanswered for seen in watched.values() if seen.unanswered), ""),
        )

    def _stands_still(self, assigned: AssignedPartition) -> bool:
        """Whether the partition has not moved, nor been queried, for `QUERY_AFTER_S`."""
        assert assigned.placed is not None
        place = (assigned.placed.state.next_offset, self._source.position(assigned.source) or 0)
        seen = self._seen.setdefault(assigned.source, _Seen(place, self._clock, self._clock))
        if place != seen.place:
            seen.place, seen.moved, seen.behind_since, seen.unanswered = place, self._clock, None, ""
            if seen.positioned_at is not None and max(place) > seen.positioned_at:
                self._clear(assigned, seen)
        return self._clock - max(seen.moved, seen.queried) >= QUERY_AFTER_S

    def _query(self, assigned: AssignedPartition, now: float) -> bool:
        """Query the partition's end. False if Kafka does not answer, which is a known cause and no stall."""
        seen = self._seen[assigned.source]
        seen.queried = self._clock
        try:
            end = self._source.bounds(assigned.source, _ANSWER_S)[1]
        except LogUnavailable as error:
            for other in self._seen.values():
                other.behind_since = None
            seen.unanswered = str(error)
            self._quiet_until = now + QUERY_AFTER_S
            return False
        seen.unanswered = ""
        if end <= max(seen.place):
            seen.behind_since = None
            if seen.positioned_at is not None:
                self._clear(assigned, seen)
        elif seen.behind_since is None:
            seen.behind_since = self._clock
        elif self._clock - seen.behind_since >= STALL_S:
            self._handle_stall(assigned, seen, end, now)
        return True

    def _handle_stall(self, assigned: AssignedPartition, seen: _Seen, end: int, now: float) -> None:
        again = seen.positioned_at is not None
        seen.behind_since = None
        seen.positioned_at = max(seen.place)
        effect = "liveness fails, so that the process is started anew" if again else "recovered from its commit"
        place = {**assigned.source._asdict(), "offset": seen.positioned_at, "end": end}
        log.error("partition_stalled", **place, effect=effect)
        if again:
            seen.stalled = True
        else:
            self._telemetry.count_repositioned()
            self._assignment.recover(assigned, now)

    def _clear(self, assigned: AssignedPartition, seen: _Seen) -> None:
        """The partition moves again."""
        seen.positioned_at, seen.stalled = None, False
        log.info("partition_goes_on", **assigned.source._asdict(), offset=max(seen.place))
