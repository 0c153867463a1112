"""What the worker counts about itself: plain numbers, each written by one thread and read by others.

Nothing is labelled by entity: the number of series is bounded by partitions and by the kinds of reason.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from worker.core.events.decode import Decoded
from worker.core.model.encoder import Encoded
from worker.core.state.partition_state import ScoredRows
from worker.partitions.serving import ServingModel
from worker.ports.log import Output, TopicPartition

_RATE_EVENTS = 50_000.0


class LogHistogram:
    """Counts by powers of two of seconds, from a quarter of a millisecond to an hour and beyond."""

    BOUNDS = 2.0 ** np.arange(-12, 13)

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float | npt.NDArray[np.float64]) -> None:
        """Count one duration, or (n,) of them; negative ones (clocks disagree) count as 0."""
        values = np.maximum(np.atleast_1d(np.asarray(seconds, np.float64)), 0.0)
        found = np.bincount(np.searchsorted(self.BOUNDS, values), minlength=len(self.counts))
        self.counts = [before + new for before, new in zip(self.counts, found.tolist(), strict=True)]
        self.total += float(values.sum())

    def cumulative(self) -> list[tuple[float, int]]:
        """(upper bound in seconds, observations up to it), the last bound infinite."""
        return list(zip([*self.BOUNDS.tolist(), float("inf")], np.cumsum(self.counts).tolist(), strict=True))


@dataclass(slots=True)
class Telemetry:
    """The loop's counters; `snapshots_*` belong to the thread that writes snapshots. Times in seconds unless
    named `_ms`.

    `lag` in records, `blind_since` in monotonic seconds, `stalled` the offset where it stands, each by partition, and
    `degraded` (reason to text) are replaced as a whole, never changed in place.
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
    alerts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    incidents_evicted: int = 0
    entities_evicted: int = 0
    late_times: int = 0
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
    model: ServingModel | None = None
    lag: Mapping[TopicPartition, int] = field(default_factory=dict)
    degraded: Mapping[str, str] = field(default_factory=dict)
    blind_since: Mapping[TopicPartition, float] = field(default_factory=dict)
    stalled: Mapping[TopicPartition, int] = field(default_factory=dict)
    repositioned: int = 0
    unanswered: str = ""
    to_catch_up: int = 0
    catch_up_rate: float = 0.0
    snapshot_age: float = 0.0
    _recent_scored: float = 0.0
    _recent_flagged: float = 0.0

    # What the loop tells.

    def turn(self, records: int, seconds: float) -> None:
        """A turn that brought records."""
        self.batches += 1
        self.batch_seconds.observe(seconds)

    def judged(self, records: int, rows: ScoredRows, encoded: Encoded, decoded: Decoded) -> None:
        """A live partition's part of a batch: `records` read, of which `rows` were scored."""
        scored, flagged = len(rows.offsets), int(np.count_nonzero(rows.flagged))
        self.records += records
        self.scored += scored
        self.flagged += flagged
        self.tombstones += decoded.tombstones
        self.rejects.update(reject.code for reject in decoded.rejects)
        self.missing_values += int(np.count_nonzero(encoded.missing))
        self.out_of_range_values += int(np.count_nonzero(encoded.out_of_range))
        self.future_times += rows.times.future
        self.event_delay.observe((self.wall_ms() - rows.times.times) / 1000.0)
        kept = 0.5 ** (scored / _RATE_EVENTS)
        self._recent_scored = self._recent_scored * kept + scored
        self._recent_flagged = self._recent_flagged * kept + flagged

    def held_back(self, reason: str) -> None:
        """A flagged record that noise control kept from becoming an alert."""
        self.held[reason] += 1

    def published(self, outputs: Iterable[Output]) -> None:
        """Outputs whose transaction is known to be committed."""
        for output in outputs:
            headers = dict(output.headers)
            if "ce_type" in headers:
                _, kind, status = headers["ce_type"].decode().split(".")
                self.alerts[kind, status, headers["ce_severity"].decode()] += 1
            elif "offbeat-reason" in headers:
                self.dead_letters += 1

    def serves(self, model: ServingModel) -> None:
        """The versions that judge from now on, however the worker came by them."""
        self.model = model

    def swapped(self, model: ServingModel) -> None:
        """A partition went over to other versions."""
        self.switches += 1
        self.model = model

    # What readers ask.

    @property
    def observed_rate(self) -> float | None:
        """The share flagged of the last events (half weight at 50,000 ago), None before the first."""
        return self._recent_flagged / self._recent_scored if self._recent_scored else None

    @property
    def blind_now(self) -> float:
        """How long, in seconds, the partition that is recovering for the longest has published nothing."""
        since = min(self.blind_since.values(), default=None)
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
