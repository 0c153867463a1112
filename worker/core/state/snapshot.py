"""A snapshot of one partition's state: an immutable manifest of immutable chunks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from worker.core.model.digest import digest_of

HEAD = "head"
"""The name under which a snapshot's chunks list the state's head, as if it were one more table."""
SNAPSHOT_FORMAT = 2


class Ancestor(NamedTuple):
    """An earlier snapshot that a snapshot was built on, and that was still kept then."""

    id: str
    offset: int
    created_ms: int


class Chunk(NamedTuple):
    """An immutable piece of a snapshot: rows of one state table that changed from offset `since` on, or the head."""

    table: str
    since: int
    rows: int
    sha256: str
    size: int


@dataclass(frozen=True)
class Snapshot:
    """A partition's state at `offset`, the offset of the next record.

    `ancestors`, newest first, are the kept snapshots that it was built on; an owner deletes only these. `contents` are
    the chunks' bytes by sha256: all of them after reading, only the new ones when writing. They are not part of the
    identity.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int
    spec_hash: str
    bundle: str
    threshold: str
    created_ms: int
    ancestors: tuple[Ancestor, ...]
    chunks: tuple[Chunk, ...]
    contents: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def manifest(self) -> bytes:
        """The manifest as canonical JSON."""
        plain = {key: getattr(self, name) for name, key in _MANIFEST.items()}
        return json.dumps({"format": SNAPSHOT_FORMAT, **plain}, sort_keys=True, separators=(",", ":")).encode()

    @staticmethod
    def from_manifest(raw: bytes) -> Snapshot:
        """The snapshot without its contents. Raises ValueError for a manifest of another format."""
        try:
            plain: dict[str, Any] = json.loads(raw)
            if plain["format"] != SNAPSHOT_FORMAT:
                raise ValueError(f"snapshot of format {plain['format']}; this release reads {SNAPSHOT_FORMAT}")
            values = {name: plain[key] for name, key in _MANIFEST.items()}
            values["ancestors"] = tuple(Ancestor(*ancestor) for ancestor in values["ancestors"])
            values["chunks"] = tuple(Chunk(*chunk) for chunk in values["chunks"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a snapshot's manifest: {error}") from error
        return Snapshot(**values)

    @cached_property
    def id(self) -> str:
        """A digest of the manifest, and so of the chunks that it lists."""
        return digest_of(self.manifest)

    @property
    def ancestor(self) -> Ancestor:
        """This snapshot as the ancestor of another."""
        return Ancestor(self.id, self.offset, self.created_ms)

    def without_contents(self) -> Snapshot:
        return replace(self, contents={})

    def chunks_of(self, table: str) -> list[Chunk]:
        """The chunks of one table, older first."""
        return [chunk for chunk in self.chunks if chunk.table == table]


_MANIFEST = {
    "topic": "topic",
    "topic_id": "topic_id",
    "partition": "partition",
    "offset": "offset",
    "spec_hash": "spec_hash",
    "bundle": "bundle",
    "threshold": "threshold",
    "created_ms": "created_ms",
    "ancestors": "line",
    "chunks": "chunks",
}
"""Attribute to the manifest's key."""


def chunk_name(content: bytes) -> str:
    """The name of a chunk with this content: its SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()
