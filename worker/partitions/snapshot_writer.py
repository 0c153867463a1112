"""The thread that encodes, writes and collects snapshots. A slow or failing Redis never blocks the loop."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass

import structlog

from worker.core.state.capture import CapturedState
from worker.core.state.snapshot import Snapshot
from worker.ports.log import TopicPartition
from worker.ports.stores import MissingObject, SnapshotStore, StoreUnavailable
from worker.telemetry import Telemetry

_FIRST_RETRY_S = 0.2
_LAST_RETRY_S = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PendingSnapshot:
    """A captured state that is to be encoded and written; `number` is that of the assignment it was captured under."""

    source: TopicPartition
    number: int
    captured: CapturedState


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A snapshot that Redis has, without its contents: the next commit of the same assignment may name it.

    `snapshot` is None if it could not be stored because Redis has lost a chunk that it shares.
    """

    source: TopicPartition
    number: int
    snapshot: Snapshot | None


@dataclass(frozen=True, slots=True)
class Collection:
    """Ancestors that may be deleted now that a commit names `snapshot`; `ours` is checked just before deleting."""

    snapshot: Snapshot
    kept: Container[str]
    now_ms: int
    ours: Callable[[], bool]


class SnapshotWriter:
    """Holds at most one snapshot per partition, and retries with growing pauses until Redis has it."""

    def __init__(self, store: SnapshotStore, telemetry: Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry
        self._waiting: dict[TopicPartition, tuple[PendingSnapshot, Snapshot | None]] = {}
        self._collections: dict[TopicPartition, Collection] = {}
        self._stored: deque[StoredSnapshot] = deque()
        self._wake = threading.Condition()
        self._busy = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self._thread.start()

    def submit(self, pending: PendingSnapshot) -> None:
        with self._wake:
            self._waiting[pending.source] = (pending, None)
            self._wake.notify()

    def collect(self, collection: Collection) -> None:
        snapshot = collection.snapshot
        with self._wake:
            self._collections[TopicPartition(snapshot.topic, snapshot.partition)] = collection
            self._wake.notify()

    def stored(self) -> list[StoredSnapshot]:
        """The snapshots that have reached Redis since the last call."""
        done = []
        while self._stored:
            done.append(self._stored.popleft())
        return done

    def flush(self, seconds: float) -> None:
        """Wait until all submitted snapshots are written, at most this long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._wake:
                if not self._waiting and not self._busy:
                    return
            time.sleep(0.01)

    def stop(self) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        pause = _FIRST_RETRY_S
        while True:
            with self._wake:
                while not self._waiting and not self._collections and not self._stopping:
                    self._wake.wait()
                if self._stopping:
                    return
                self._busy = True
            if self.step():
                pause = _FIRST_RETRY_S
            else:
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - so that workers do not retry in step
                pause = min(2 * pause, _LAST_RETRY_S)
            self._busy = False

    def step(self) -> bool:
        """Write one snapshot, or collect for one partition; False if Redis did not take it."""
        with self._wake:
            source = next(iter(self._waiting), None)
            pending, snapshot = self._waiting.pop(source) if source is not None else (None, None)
        if pending is None:
            return self._collect_one()
        topic, partition = pending.source
        try:
            snapshot = snapshot or pending.captured.encode()
            self._store.put(snapshot)
        except StoreUnavailable as error:
            self._telemetry.count_failed_snapshot()
            log.warning("snapshot_failed", topic=topic, partition=partition, error=str(error))
            with self._wake:
                self._waiting.setdefault(pending.source, (pending, snapshot))
            return False
        except MissingObject as error:
            log.warning("snapshot_whole_next", reason=str(error))
            self._stored.append(StoredSnapshot(pending.source, pending.number, None))
            return True
        self._telemetry.count_snapshot(sum(map(len, snapshot.contents.values())))
        self._stored.append(StoredSnapshot(pending.source, pending.number, snapshot.without_contents()))
        return True

    def _collect_one(self) -> bool:
        with self._wake:
            collection = self._collections.pop(next(iter(self._collections)), None) if self._collections else None
        if collection is not None:
            try:
                self._store.collect(collection.snapshot, collection.kept, collection.now_ms, collection.ours)
            except StoreUnavailable as error:  # the next snapshot's collection includes it
                log.warning("collection_failed", error=str(error))
                return False
        return True
