"""The ports to what outlives a process: registry, snapshots, cold-start samples, lease."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Protocol

from worker.core.bundle import Bundle
from worker.core.threshold import Threshold


class StoreUnavailable(Exception):
    """The store did not answer in time, or refuses writes for now; try again."""


class MissingPart(Exception):
    """Something named by a commit, a champion or a caller is not in the store; the text says what."""


@dataclass(frozen=True, slots=True)
class Champion:
    """The pair that serves, by digest; `version` labels the bundle, `token` is the fencing token of the write."""

    bundle: str
    threshold: str
    version: int
    token: int


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


@dataclass(frozen=True)
class Snapshot:
    """A partition's state at `offset` (the next record's). Immutable; `id` is a digest over everything but the
    chunk's bytes, of which it holds the sha256.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int
    parent: str | None
    spec_hash: str
    bundle: str
    threshold: str
    chunk: bytes
    created_ms: int

    @cached_property
    def chunk_sha256(self) -> str:
        return hashlib.sha256(self.chunk).hexdigest()

    @cached_property
    def manifest(self) -> bytes:
        """Canonical JSON."""
        plain: dict[str, Any] = asdict(self)
        del plain["chunk"]
        plain |= {"format": 1, "chunks": [self.chunk_sha256], "size": len(self.chunk)}
        return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()

    @cached_property
    def id(self) -> str:
        digest = hashlib.sha256(self.manifest).digest()[:16]
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Cold-start rows of one partition from `first_offset` on; `columns` as `worker.core.columns.to_bytes`."""

    topic_id: str
    topic: str
    partition: int
    first_offset: int
    rows: int
    columns: bytes


class Registry(Protocol):
    """Bundles and thresholds by digest, and the champion. Every call may raise StoreUnavailable."""

    def champion(self, spec_hash: str) -> Champion | None: ...
    def bundle(self, digest: str) -> Bundle:
        """Raises MissingPart, BundleRefused."""

    def threshold(self, digest: str) -> Threshold:
        """Raises MissingPart, BundleRefused."""

    def put_bundle(self, bundle: Bundle) -> None: ...
    def put_threshold(self, threshold: Threshold) -> None: ...
    def promote(self, spec_hash: str, champion: Champion) -> bool:
        """One atomic write; False where a later token has written, MissingPart where bundle or threshold is not
        there.
        """

    def history(self, spec_hash: str) -> list[Champion]:
        """Champions so far, newest first."""

    def next_version(self) -> int: ...
    def next_token(self) -> int:
        """A fencing token of its own, larger than any before: for writes by an operator."""

    def bundles(self) -> list[BundleInfo]:
        """Newest version first."""


class SnapshotStore(Protocol):
    def put(self, snapshot: Snapshot) -> None: ...
    def get(self, topic: str, partition: int, snapshot_id: str) -> Snapshot | None:
        """None where any part is missing or damaged: such a snapshot does not exist."""

    def newest_at_or_below(self, topic: str, topic_id: str, partition: int, offset: int) -> Snapshot | None: ...
    def collect(self, topic: str, partition: int, named: Sequence[str], now_ms: int) -> int:
        """Delete what retention does not keep and `named` does not hold; returns how many snapshots went."""


class SampleStore(Protocol):
    def add(self, topic_id: str, topic: str, partition: int, first_offset: int, columns: bytes, rows: int) -> None: ...
    def rows(self) -> int: ...
    def read(self) -> list[SampleBlock]:
        """By topic id, partition and first offset; blocks that overlap an earlier one are left out."""

    def clear(self) -> None: ...


class Lease(Protocol):
    """A time-limited claim; `acquire` yields a fencing token larger than any before, None while another holds it."""

    def acquire(self) -> int | None: ...
    def renew(self) -> bool: ...
    def release(self) -> None: ...
