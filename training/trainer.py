"""The trainer service: cold start, fine-tuning, the gate, promotion, and bounded steps of the threshold.

Only one trainer is active at a time. Its lease comes with a fencing token that every promotion carries.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from training.learn.cold_start import cold_columns
from training.learn.corpus import corpus_of
from training.learn.live_counts import LiveCounts
from training.learn.move_threshold import change_rate, is_due, move_threshold
from training.learn.schedule import due_after
from training.learn.versioning import Trained, train_version
from worker.config.settings import Settings
from worker.core.alerts.alert import rfc3339
from worker.core.model.threshold import Threshold
from worker.core.state.capture import restore_state
from worker.core.state.commit_metadata import EMPTY, CommitMetadata
from worker.core.state.partition_state import PartitionState
from worker.errors import BundleRefused
from worker.lifecycle import StopToken
from worker.ports.log import Committed, LogUnavailable, TopicPartition
from worker.ports.stores import Champion, Lease, MissingObject, Registry, SampleStore, SnapshotStore, StoreUnavailable

LEASE_S = 15.0
_TRAINING_TABLES = frozenset({"recent", "lasting"})
"""The tables of a partition's state that training needs. Incidents and entities may be large and are not read."""
TICK_S = 1.0
FOLLOW_S = 5.0
REJECTED_PAUSE = 2.0
"""The pause after a rejected challenger, as a multiple of `fine_tune.at_most_every`."""

log = structlog.get_logger()


@dataclass(slots=True)
class Stores:
    """The trainer's ports. `commits` returns what the consumer group has committed for each partition."""

    registry: Registry
    samples: SampleStore
    snapshots: SnapshotStore
    lease: Lease
    commits: Callable[[], dict[TopicPartition, Committed]]


class Trainer:
    """Trains and promotes versions for one stream. `run()` calls `tick()` until the service stops."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        stop: StopToken,
        seed: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._spec = settings.spec
        self._stores = stores
        self._stop = stop
        self._seed = seed
        self._monotonic = monotonic
        self._token: int | None = None
        self._renew_at = 0.0
        self._trained_at: float | None = None
        self._not_before = 0.0
        self._trained_offset = 0
        self._follow_at = 0.0
        self._live = LiveCounts()
        self._threshold: tuple[str, Threshold] | None = None
        self._cold_rows = 0
        self._cold_since = monotonic()

    def run(self) -> None:
        """Call `tick()` until a stop is requested. If Redis, Kafka or a bundle fails it, log why, once, and retry."""
        last_reason = ""
        while not self._stop.is_set():
            try:
                self.tick()
                last_reason = ""
            except (StoreUnavailable, LogUnavailable, MissingObject, BundleRefused) as error:
                if last_reason != str(error):
                    log.warning("trainer_waits", reason=str(error))
                last_reason = str(error)
            self._stop.wait(TICK_S)
        if self._token is not None:
            self._stores.lease.release()

    def tick(self) -> None:
        """If this trainer holds the lease, do what is due: a cold start, a fine-tune, or a step of the threshold."""
        if not self._hold_lease():
            return
        champion = self._stores.registry.champion(self._spec.spec_hash)
        if champion is None:
            self._cold_start()
            return
        if champion.token > (self._token or 0):  # an operator's: what this trainer writes would be fenced
            self._drop_lease()
            return
        if self._apply_alert_rate(champion):
            return
        now = self._monotonic()
        commits = self._stores.commits()
        offset = sum(commit.offset or 0 for commit in commits.values())
        if self._trained_at is None:  # the first tick with a champion: count time and offsets from here
            self._trained_at, self._trained_offset = now, offset
        if self._due(now, offset):
            self._fine_tune(champion, commits, now)
            self._trained_at, self._trained_offset = now, offset
        elif now >= self._follow_at:
            self._follow_at = now + FOLLOW_S
            self._move_threshold(champion, commits)

    def _hold_lease(self) -> bool:
        now = self._monotonic()
        if self._token is not None and now < self._renew_at:
            return True
        if self._token is not None and self._stores.lease.renew():
            self._renew_at = now + LEASE_S / 3
            return True
        self._token = self._stores.lease.acquire()
        self._renew_at = now + LEASE_S / 3
        if self._token is not None:
            log.info("lease_acquired", token=self._token)
        return self._token is not None

    def _drop_lease(self) -> None:
        """The next tick takes the lease anew, with a larger token."""
        self._stores.lease.release()
        self._token = None

    def _serving_threshold(self, champion: Champion) -> Threshold:
        """The champion's threshold, read once."""
        if self._threshold is None or self._threshold[0] != champion.threshold:
            self._threshold = (champion.threshold, self._stores.registry.threshold(champion.threshold))
        return self._threshold[1]

    def _due(self, now: float, offset: int) -> bool:
        rule = self._settings.fine_tune
        assert self._trained_at is not None
        elapsed = now - self._trained_at
        if now < self._not_before or elapsed < rule.at_most_every:
            return False
        return elapsed >= rule.every or offset - self._trained_offset >= due_after(offset, rule.events)

    # Training and promotion of versions.

    def _cold_start(self) -> None:
        now, rows = self._monotonic(), self._stores.samples.rows()
        if rows != self._cold_rows:
            self._cold_rows, self._cold_since = rows, now
        ready = cold_columns(self._stores.samples, self._spec, rows, now - self._cold_since)
        if ready is None:
            return
        log.info("first_fit", rows=len(ready.columns))
        trained = train_version(
            self._settings,
            ready.columns,
            calibrate_on=None,
            version=self._stores.registry.next_version(),
            parent=None,
            ranges=ready.ranges,
            seed=self._seed,
            created_at=_now(),
        )
        _tell(trained)
        if self._promote(trained, "cold_start"):
            self._stores.samples.clear()

    def _fine_tune(self, champion: Champion, commits: dict[TopicPartition, Committed], now: float) -> None:
        states = self._states(commits)
        parent = self._stores.registry.bundle(champion.bundle)
        threshold = self._serving_threshold(champion)
        corpus = corpus_of(self._spec, [(source.topic, state) for source, state in states], parent.manifest.data)
        if len(corpus.fit) < 256 or len(corpus.calibrate) < 128:
            log.info("fine_tune_waits", fit_rows=len(corpus.fit), calibration_rows=len(corpus.calibrate))
            return
        trained = train_version(
            self._settings,
            corpus.fit,
            calibrate_on=corpus.calibrate,
            version=self._stores.registry.next_version(),
            parent=(parent, threshold),
            ranges=corpus.ranges,
            fresh=corpus.fresh,
            times=corpus.times,
            seed=self._seed,
            created_at=_now(),
            live=self._live.fresh(states, champion.bundle),
        )
        _tell(trained)
        if trained.refusals:
            self._stores.registry.put_bundle(trained.bundle)  # kept for inspection
            self._not_before = now + REJECTED_PAUSE * self._settings.fine_tune.at_most_every
            log.warning("challenger_rejected", version=trained.bundle.manifest.version, reasons=trained.refusals)
            return
        self._promote(trained, "fine_tune")

    def _promote(self, trained: Trained, event: str) -> bool:
        registry = self._stores.registry
        registry.put_bundle(trained.bundle)
        registry.put_threshold(trained.threshold)
        assert self._token is not None
        champion = Champion(
            trained.bundle.digest, trained.threshold.digest(), trained.bundle.manifest.version, self._token
        )
        if not registry.promote(self._spec.spec_hash, champion):
            log.warning("promotion_fenced", token=self._token, effect="superseded by another trainer or an operator")
            self._drop_lease()
            return False
        figures = {name: round(value, 4) for name, value in trained.bundle.manifest.metrics.items()}
        log.info(event, version=champion.version, bundle=champion.bundle, cut=trained.threshold.cut, **figures)
        return True

    # The threshold of the version that serves.

    def _apply_alert_rate(self, champion: Champion) -> bool:
        """If the threshold that serves was made for another alert rate than the configured one, replace it."""
        current, rate = self._serving_threshold(champion), self._settings.threshold.alert_rate
        if current.alert_rate == rate:
            return False
        self._replace_threshold(champion, change_rate(current, rate, created_at=_now()), "alert_rate_changed")
        return True

    def _move_threshold(self, champion: Champion, commits: dict[TopicPartition, Committed]) -> None:
        """Move the threshold by a bounded step towards the p-values that live events have shown."""
        current = self._serving_threshold(champion)
        states = self._states(commits, frozenset())
        first = champion.version == 1 and current.parent is None
        self._live.begin(states, champion.bundle, first=first)
        live = self._live.fresh(states, champion.bundle)
        if not is_due(current, live):
            return
        offsets = {f"{source.topic}/{source.partition}": commit.offset or 0 for source, commit in commits.items()}
        moved = move_threshold(current, live, created_at=_now(), offsets=offsets)
        if self._replace_threshold(champion, moved, "threshold_moved"):
            self._live.take(states, champion.bundle)

    def _replace_threshold(self, champion: Champion, threshold: Threshold, event: str) -> bool:
        registry, was = self._stores.registry, self._serving_threshold(champion).cut
        registry.put_threshold(threshold)
        assert self._token is not None
        promoted = Champion(champion.bundle, threshold.digest(), champion.version, self._token)
        if not registry.promote(self._spec.spec_hash, promoted):
            self._drop_lease()
            return False
        provenance = threshold.provenance
        report = log.warning if provenance.at_bound else log.info
        figures = {"cut": threshold.cut, "was": was, "at_bound": provenance.at_bound}
        report(event, version=champion.version, reason=provenance.reason, **figures)
        return True

    def _states(
        self, commits: dict[TopicPartition, Committed], tables: frozenset[str] = _TRAINING_TABLES
    ) -> list[tuple[TopicPartition, PartitionState]]:
        """Load each partition's state, with these tables, from the newest usable snapshot that its commit names.

        A partition whose commit names no such snapshot is left out.
        """
        states = []
        for source, commit in commits.items():
            try:
                metadata = CommitMetadata.decode(commit.metadata) if commit.metadata else None
            except ValueError:
                continue
            for base in reversed(metadata.bases if metadata else ()):
                if base.snapshot == EMPTY:
                    continue
                snapshot = self._stores.snapshots.get(source.topic, source.partition, base.snapshot, tables)
                if snapshot is not None and snapshot.spec_hash == self._spec.spec_hash:
                    states.append((source, restore_state(snapshot, self._spec, 0, self._settings.bounds)))
                    break
        return states


def _tell(trained: Trained) -> None:
    """Warn of what has changed for good in the stream, once for each change: the model will soon take it as normal."""
    for change in trained.changes:
        since = None if change.since is None else rfc3339(change.since)
        log.warning("stream_changed", version=trained.bundle.manifest.version, **change.model_dump() | {"since": since})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
