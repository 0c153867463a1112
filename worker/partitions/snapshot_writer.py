"""The thread that encodes, writes and collects snapshots: what Redis does to it, the loop does not feel."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass, replace

import structlog

from worker.core.state.segments import Fresh
from worker.ports.log import TopicPartition
from worker.ports.stores import HEAD, Chunk, MissingPart, Snapshot, SnapshotStore, StoreUnavailable, digest_of
from worker.telemetry import Telemetry

_FIRST_RETRY_S = 0.2
_LAST_RETRY_S = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Taken:
    """A partition's state as the loop copied it: `bare` has the chunks that are shared, the rest is to be encoded."""

    source: TopicPartition
    assignment_number: int
    bare: Snapshot
    head: bytes
    fresh: tuple[tuple[str, Fresh], ...]

    def encoded(self) -> Snapshot:
        """With its new chunks, and with their contents only."""
        chunks, contents = list(self.bare.chunks), {}
        for table, segment in self.fresh:
            parts = [encode() for encode in segment.parts]
            for part in parts:
                rows = -(-segment.rows // len(parts))  # shared evenly: only their sum matters
                chunks.append(Chunk(table, segment.since, rows, digest_of(part), len(part)))
                contents[chunks[-1].sha256] = part
        chunks.append(Chunk(HEAD, self.bare.offset, 0, digest_of(self.head), len(self.head)))
        contents[chunks[-1].sha256] = self.head
        return replace(self.bare, chunks=tuple(chunks), contents=contents)


@dataclass(frozen=True, slots=True)
class Stored:
    """A snapshot that Redis has, without its contents: the next commit of the same assignment may name it. None where
    it could not be stored, since Redis has lost what it shares.
    """

    source: TopicPartition
    assignment_number: int
    snapshot: Snapshot | None


@dataclass(frozen=True, slots=True)
class Collection:
    """What may go now that a commit names `snapshot`; `ours` is asked just before anything is deleted."""

    snapshot: Snapshot
    kept: Container[str]
    now_ms: int
    ours: Callable[[], bool]


class SnapshotWriter:
    """Holds at most one snapshot a partition, and tries again, with growing pauses, until Redis has it."""

    def __init__(self, store: SnapshotStore, telemetry: Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry
        self._waiting: dict[TopicPartition, tuple[Taken, Snapshot | None]] = {}
        self._collections: dict[TopicPartition, Collection] = {}
        self._stored: deque[Stored] = deque()
        self._wake = threading.Condition()
        self._busy = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self._thread.start()

    def submit(self, taken: Taken) -> None:
        with self._wake:
            self._waiting[taken.source] = (taken, None)
            self._wake.notify()

    def collect(self, collection: Collection) -> None:
        snapshot = collection.snapshot
        with self._wake:
            self._collections[TopicPartition(snapshot.topic, snapshot.partition)] = collection
            self._wake.notify()

    def stored(self) -> list[Stored]:
        """What has reached Redis since the last call."""
        done = []
        while self._stored:
            done.append(self._stored.popleft())
        return done

    def flush(self, seconds: float) -> None:
        """Wait until nothing is waiting, at most this long."""
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
        """Write one snapshot, or collect for one partition; False where Redis did not take it."""
        with self._wake:
            source = next(iter(self._waiting), None)
            taken, snapshot = self._waiting.pop(source) if source is not None else (None, None)
        if taken is None:
            return self._collect_one()
        try:
            snapshot = snapshot or taken.encoded()
            self._store.put(snapshot)
        except StoreUnavailable as error:
            self._telemetry.snapshots_failed += 1
            log.warning("snapshot_failed", topic=taken.source.topic, partition=taken.source.partition, error=str(error))
            with self._wake:
                self._waiting.setdefault(taken.source, (taken, snapshot))
            return False
        except MissingPart as error:
            log.warning("snapshot_whole_next", reason=str(error))
            self._stored.append(Stored(taken.source, taken.assignment_number, None))
            return True
        self._telemetry.snapshots_written += 1
        self._telemetry.snapshot_bytes += sum(map(len, snapshot.contents.values()))
        self._stored.append(Stored(taken.source, taken.assignment_number, replace(snapshot, contents={})))
        return True

    def _collect_one(self) -> bool:
        with self._wake:
            collection = self._collections.pop(next(iter(self._collections)), None) if self._collections else None
        if collection is not None:
            try:
                self._store.collect(collection.snapshot, collection.kept, collection.now_ms, collection.ours)
            except StoreUnavailable as error:  # the next snapshot's collection takes it along
                log.warning("collection_failed", error=str(error))
                return False
        return True
