"""The ports to the stores that outlive a process: registry, snapshots, cold-start samples, lease."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Protocol

from worker.core.model.bundle import Bundle
from worker.core.model.serving_model import Signatures
from worker.core.model.threshold import Threshold
from worker.core.state.snapshot import Snapshot


class StoreUnavailable(Exception):
    """The store did not answer in time, or refuses writes for now; retry."""


class MissingObject(Exception):
    """The store lacks an object that a commit, a champion or a caller names; the text says which."""


@dataclass(frozen=True, slots=True)
class Champion:
    """The bundle and the threshold that serve, by digest.

    `version` labels the bundle. `token` is the fencing token under which the champion was written.
    """

    bundle: str
    threshold: str
    version: int
    token: int

    @property
    def order(self) -> tuple[int, int]:
        """Larger for later champions. An operator's rollback has a token of its own; a trainer's versions share one."""
        return self.token, self.version


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """A bundle in the registry, without its weights."""

    digest: str
    version: int
    kind: str
    spec_hash: str
    created_at: str
    parent: str | None
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Cold-start rows of one partition from `first_offset` on; `columns` as `worker.core.events.columns.to_bytes`."""

    topic_id: str
    topic: str
    partition: int
    first_offset: int
    rows: int
    columns: bytes


class Registry(Protocol):
    """Bundles and thresholds by digest, and the champion. Every call may raise StoreUnavailable."""

    def champion(self, spec_hash: str) -> Champion | None:
        """The champion for this feature spec, if there is one."""

    def bundle(self, digest: str) -> Bundle:
        """Raises MissingObject, BundleRefused."""

    def threshold(self, digest: str) -> Threshold:
        """Raises MissingObject, BundleRefused."""

    def put_bundle(self, bundle: Bundle) -> None: ...
    def put_threshold(self, threshold: Threshold) -> None: ...
    def promote(self, spec_hash: str, champion: Champion) -> bool:
        """Make this the champion, in one atomic write. False if a later token has written.

        Raises MissingObject if the store lacks the bundle or the threshold.
        """

    def restore(
        self, spec_hash: str, champion: Champion, bundle: Bundle, threshold: Threshold, signatures: Signatures
    ) -> bool:
        """Give back a champion that the store has lost, with its bundle and threshold, in one atomic write.

        It also raises the counters of versions and tokens to the champion's. If the store has a champion that is not
        older, nothing is written, and the result is False.
        """

    def signatures(self, bundle: str, threshold: str) -> Signatures:
        """The stored signatures, not checked."""

    def history(self, spec_hash: str) -> list[Champion]:
        """All champions for this feature spec, newest first."""

    def next_version(self) -> int:
        """A version number larger than any before."""

    def next_token(self) -> int:
        """A fencing token larger than any before, for a write by an operator."""

    def bundles(self) -> list[BundleInfo]:
        """All bundles, newest version first."""


class SnapshotStore(Protocol):
    """Every call may raise StoreUnavailable."""

    def put(self, snapshot: Snapshot) -> None:
        """Write the new chunks, then the manifest. Raises MissingObject if the store lacks a shared chunk."""

    def get(
        self, topic: str, partition: int, snapshot_id: str, tables: Container[str] | None = None
    ) -> Snapshot | None:
        """The snapshot with its contents, or with those of the head and of some `tables` only.

        None if anything of it is missing or damaged.
        """

    def newest_at_or_below(self, topic: str, topic_id: str, partition: int, offset: int) -> Snapshot | None:
        """The stored snapshot with the largest offset that is not above `offset`, with its contents."""

    def collect(self, snapshot: Snapshot, kept: Container[str], now_ms: int, ours: Callable[[], bool]) -> int:
        """Delete the ancestors of `snapshot` that are not in `kept`, and other owners' snapshots that are a day old.

        `ours` is called just before anything is deleted; if it returns False, nothing is. Returns the number of deleted
        snapshots.
        """


class SampleStore(Protocol):
    """The first rows of a stream without a model. Every call may raise StoreUnavailable."""

    def add(self, topic_id: str, topic: str, partition: int, first_offset: int, columns: bytes, rows: int) -> None:
        """Store a block; one with the same topic id, partition and first offset is overwritten."""

    def rows(self) -> int:
        """The number of rows in all blocks."""

    def read(self) -> list[SampleBlock]:
        """All blocks by topic id, partition and first offset, without those that overlap an earlier one."""

    def clear(self) -> None: ...


class Lease(Protocol):
    """A time-limited claim to be the only trainer.

    `acquire` returns a fencing token larger than any before, or None while another process holds the lease.
    """

    def acquire(self) -> int | None: ...
    def renew(self) -> bool: ...
    def release(self) -> None: ...
