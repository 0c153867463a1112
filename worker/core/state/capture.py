"""From a partition's state to a snapshot, and back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from worker.core.events.spec import FeatureSpec
from worker.core.state.bounds import Bounds
from worker.core.state.partition_state import PartitionState
from worker.core.state.segments import NewSegment, plan_segments
from worker.core.state.snapshot import HEAD, Ancestor, Chunk, Snapshot, chunk_name


@dataclass(frozen=True, slots=True)
class CapturedState:
    """A state as it was at one offset, copied and ready to be encoded in any thread.

    `shared` is the snapshot with only those chunks that it shares with its parent.
    """

    shared: Snapshot
    head: bytes
    segments: tuple[tuple[str, NewSegment], ...]

    def encode(self) -> Snapshot:
        """The whole snapshot, with the contents of its new chunks only."""
        chunks, contents = list(self.shared.chunks), {}
        for table, segment in self.segments:
            pieces = [encode() for encode in segment.encoders]
            for piece in pieces:
                rows = -(-segment.rows // len(pieces))  # shared evenly: only the sum matters
                chunks.append(Chunk(table, segment.since, rows, chunk_name(piece), len(piece)))
                contents[chunks[-1].sha256] = piece
        chunks.append(Chunk(HEAD, self.shared.offset, 0, chunk_name(self.head), len(self.head)))
        contents[chunks[-1].sha256] = self.head
        return replace(self.shared, chunks=tuple(chunks), contents=contents)


def capture_state(
    state: PartitionState, topic: str, parent: Snapshot | None, ancestors: tuple[Ancestor, ...], created_ms: int
) -> CapturedState:
    """Copy what has changed since `parent`, an earlier snapshot of the same partition.

    Capture committed state only: a snapshot must never hold records that a transaction may still take back.
    """
    shared: list[Chunk] = []
    segments: list[tuple[str, NewSegment]] = []
    for name, table in state.tables.items():
        kept = parent.chunks_of(name) if parent is not None else []
        reused, segment = plan_segments(table, kept, parent.offset if parent is not None else 0)
        shared += reused
        if segment is not None:
            segments.append((name, segment))
    snapshot = Snapshot(
        topic=topic,
        topic_id=state.topic_id,
        partition=state.partition,
        offset=state.next_offset,
        spec_hash=state.spec.spec_hash,
        bundle=state.versions.bundle,
        threshold=state.versions.threshold,
        created_ms=created_ms,
        ancestors=ancestors,
        chunks=tuple(shared),
    )
    return CapturedState(snapshot, state.head(), tuple(segments))


def restore_state(snapshot: Snapshot, spec: FeatureSpec, cooldown_ms: int, bounds: Bounds) -> PartitionState:
    """The state in a snapshot, as far as its contents were read. Raises ValueError as `PartitionState.restore`."""
    tables: dict[str, list[bytes]] = {}
    head = b""
    for chunk in snapshot.chunks:
        content = snapshot.contents.get(chunk.sha256)
        if chunk.table == HEAD and content is not None:
            head = content
        elif content is not None:
            tables.setdefault(chunk.table, []).append(content)
    return PartitionState.restore(head, tables, spec, cooldown_ms, bounds)
