"""A snapshot's manifest and identity."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from worker.core.state.snapshot import HEAD, Ancestor, Chunk, Snapshot, chunk_name

SNAPSHOT = Snapshot(
    topic="flows",
    topic_id="id",
    partition=3,
    offset=50,
    spec_hash="sha256:spec",
    bundle="b",
    threshold="t",
    created_ms=1_800_000_000_000,
    ancestors=(Ancestor("older", 40, 7), Ancestor("oldest", 30, 6)),
    chunks=(
        Chunk("recent", 0, 9, chunk_name(b"rows"), 4),
        Chunk("entities", 0, 2, chunk_name(b"e"), 1),
        Chunk("recent", 40, 3, chunk_name(b"more"), 4),
        Chunk(HEAD, 50, 0, chunk_name(b"head"), 4),
    ),
    contents={chunk_name(b"rows"): b"rows"},
)


def test_a_manifest_is_read_back_as_it_was() -> None:
    read = Snapshot.from_manifest(SNAPSHOT.manifest)
    assert read == SNAPSHOT
    assert read.id == SNAPSHOT.id
    assert read.ancestors[0].offset == 40 and read.chunks[0].rows == 9
    assert read.contents == {}


def test_a_manifest_is_canonical_json() -> None:
    plain = json.loads(SNAPSHOT.manifest)
    assert json.dumps(plain, sort_keys=True, separators=(",", ":")).encode() == SNAPSHOT.manifest
    assert plain["format"] == 2
    assert plain["line"] == [["older", 40, 7], ["oldest", 30, 6]]


def test_the_id_follows_from_the_manifest_alone() -> None:
    assert len(SNAPSHOT.id) == 22
    assert SNAPSHOT.without_contents().id == SNAPSHOT.id
    assert SNAPSHOT.without_contents() == SNAPSHOT
    changes = [{"offset": 51}, {"partition": 4}, {"created_ms": 1}, {"ancestors": ()}, {"chunks": SNAPSHOT.chunks[1:]}]
    ids = {replace(SNAPSHOT, **change).id for change in changes}  # type: ignore[arg-type]
    assert len(ids | {SNAPSHOT.id}) == 1 + len(changes)


def test_a_snapshot_is_the_ancestor_of_the_next() -> None:
    assert SNAPSHOT.ancestor == Ancestor(SNAPSHOT.id, 50, 1_800_000_000_000)


def test_the_chunks_of_one_table_are_in_their_order() -> None:
    assert [chunk.since for chunk in SNAPSHOT.chunks_of("recent")] == [0, 40]
    assert [chunk.sha256 for chunk in SNAPSHOT.chunks_of(HEAD)] == [chunk_name(b"head")]
    assert SNAPSHOT.chunks_of("lasting") == []


def test_a_manifest_of_another_format_is_refused() -> None:
    raw = SNAPSHOT.manifest.replace(b'"format":2', b'"format":1')
    with pytest.raises(ValueError, match="snapshot of format 1; this release reads 2"):
        Snapshot.from_manifest(raw)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"format": 2}', SNAPSHOT.manifest.replace(b"flows", b"\xff")])
def test_anything_else_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Snapshot.from_manifest(raw)
