"""The worker's counters: plain numbers, written only by the methods here and read from other threads.

No counter is labelled by entity: the number of series is bounded by the partitions and by the kinds of reason.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from worker.core.events.decode import Decoded
from worker.core.model.serving_model import ServingModel
from worker.core.state.incidents import IncidentChange
from worker.core.step import Step
from worker.log_histogram import LogHistogram
from worker.ports.log import Output, TopicPartition

_RATE_EVENTS = 50_000.0


@dataclass(frozen=True, slots=True)
class Health:
    """The condition of the worker's partitions, as sampled once a second.

    By partition: `lag` in records, and `blind_since`, the monotonic second since which it has published nothing.
    `degraded` maps a reason to its text.
    """

    lag: Mapping[TopicPartition, int] = field(default_factory=dict)
    blind_since: Mapping[TopicPartition, float] = field(default_factory=dict)
    to_catch_up: int = 0
    catch_up_rate: float = 0.0
    snapshot_age: float = 0.0
    degraded: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Telemetry:
    """Counters since the start of the process, and the latest samples. Times are in seconds unless named `_ms`.

    The counters of snapshots belong to the thread that writes snapshots, all others to the loop's. `health` and
    `stalled` (the offset where each stalled partition stands) are replaced as a whole, never changed in place.
    """

    stream: str
    monotonic: Callable[[], float] = time.monotonic
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    records: int = 0
    scored: int = 0
    flagged: int = 0
    tombstones: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    missing_values: int = 0
    out_of_range_values: int = 0
    future_times: int = 0
    late_times: int = 0
    alerts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    incidents_evicted: int = 0
    entities_evicted: int = 0
    dead_letters: int = 0
    catch_up_records: int = 0
    batches: int = 0
    batch_seconds: LogHistogram = field(default_factory=LogHistogram)
    event_delay: LogHistogram = field(default_factory=LogHistogram)
    transactions_committed: int = 0
    transactions_aborted: int = 0
    producers_replaced: int = 0
    recoveries: int = 0
    offsets_lost: int = 0
    rebuilt: int = 0
    blind_seconds: float = 0.0
    snapshots_written: int = 0
    snapshots_failed: int = 0
    snapshot_bytes: int = 0
    switches: int = 0
    repositioned: int = 0
    model: ServingModel | None = None
    health: Health = field(default_factory=Health)
    stalled: Mapping[TopicPartition, int] = field(default_factory=dict)
    unanswered: str = ""
    _recent_scored: float = 0.0
    _recent_flagged: float = 0.0

    # The data path.

    def count_turn(self, seconds: float) -> None:
        """A turn that brought records."""
        self.batches += 1
        self.batch_seconds.observe(seconds)

    def count_step(self, records: int, decoded: Decoded, step: Step) -> None:
        """One step of a live partition: `records` were read, and those that could be decoded were scored."""
        rows = step.rows
        scored, flagged = len(rows.offsets), int(np.count_nonzero(rows.flagged))
        self.records += records
        self.scored += scored
        self.flagged += flagged
        self.tombstones += decoded.tombstones
        self.rejects.update(reject.code for reject in decoded.rejects)
        self.missing_values += int(np.count_nonzero(step.encoded.missing))
        self.out_of_range_values += int(np.count_nonzero(step.encoded.out_of_range))
        self.future_times += rows.times.future
        self.late_times += step.featurized.late
        self.entities_evicted += step.featurized.evicted
        self.event_delay.observe((self.wall_ms() - rows.times.times) / 1000.0)
        self._count_changes(change for change in step.changes if isinstance(change, IncidentChange))
        kept = 0.5 ** (scored / _RATE_EVENTS)
        self._recent_scored = self._recent_scored * kept + scored
        self._recent_flagged = self._recent_flagged * kept + flagged

    def _count_changes(self, changes: Iterable[IncidentChange]) -> None:
        for change in changes:
            self.incidents_evicted += change.evicted
            if not change.publish:
                self.held["cooldown"] += 1

    def count_catch_up(self, records: int) -> None:
        """Records that were replayed into state."""
        self.catch_up_records += records

    def count_commit(self, outputs: Iterable[Output]) -> None:
        """A commit that is known to have succeeded, and the outputs that were published with it."""
        self.transactions_committed += 1
        for output in outputs:
            if output.kind == "dead_letter":
                self.dead_letters += 1
            elif output.severity:
                self.alerts[output.kind, output.status, output.severity] += 1

    def count_abort(self) -> None:
        self.transactions_aborted += 1

    def count_replaced_producer(self) -> None:
        self.producers_replaced += 1

    # Recovery and models.

    def count_recovery(self) -> None:
        """All partitions are recovered from the log."""
        self.recoveries += 1

    def count_live(self, blind_seconds: float) -> None:
        """A partition is live again after it published nothing for this long."""
        self.blind_seconds += blind_seconds

    def count_lost_offset(self) -> None:
        self.offsets_lost += 1

    def count_rebuilt_state(self) -> None:
        self.rebuilt += 1

    def set_model(self, model: ServingModel) -> None:
        """The model that a partition scores with from now on."""
        self.model = model

    def count_switch(self, model: ServingModel) -> None:
        """A live partition switched to another model."""
        self.switches += 1
        self.model = model

    # Upkeep.

    def count_snapshot(self, size: int) -> None:
        """A snapshot was stored; `size` in bytes, without the chunks that it shares."""
        self.snapshots_written += 1
        self.snapshot_bytes += size

    def count_failed_snapshot(self) -> None:
        self.snapshots_failed += 1

    def count_repositioned(self) -> None:
        """The watchdog had a stalled partition recovered."""
        self.repositioned += 1

    def set_stalled(self, stalled: Mapping[TopicPartition, int], unanswered: str) -> None:
        """Partitions that stand still although repositioned, and the query that Kafka does not answer, if any."""
        self.stalled, self.unanswered = stalled, unanswered

    def set_health(self, health: Health) -> None:
        self.health = health

    # Derived values.

    @property
    def observed_rate(self) -> float | None:
        """The share flagged of the last events (half weight at 50,000 ago), None before the first."""
        return self._recent_flagged / self._recent_scored if self._recent_scored else None

    @property
    def blind_now(self) -> float:
        """How long, in seconds, the partition that is recovering for the longest has published nothing."""
        since = min(self.health.blind_since.values(), default=None)
        return self.monotonic() - since if since is not None else 0.0

    def summary(self) -> dict[str, object]:
        """The counts for the status page and the summary line in the log."""
        return {
            "records": self.records,
            "scored": self.scored,
            "flagged": self.flagged,
            "alerts": sum(self.alerts.values()),
            "alerts_by_severity": _by_severity(self.alerts),
            "held_back": dict(self.held),
            "rejects": dict(self.rejects),
            "dead_letters": self.dead_letters,
            "tombstones": self.tombstones,
            "catch_up_records": self.catch_up_records,
            "transactions": self.transactions_committed,
            "recoveries": self.recoveries,
            "repositioned": self.repositioned,
            "blind_seconds": round(self.blind_seconds, 3),
            "snapshots": self.snapshots_written,
            "switches": self.switches,
            "observed_rate": self.observed_rate,
        }


def _by_severity(alerts: Mapping[tuple[str, str, str], int]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for (_, _, severity), count in dict(alerts).items():
        counts[severity] += count
    return dict(counts)
