"""The metadata of an offset commit: which snapshots the state builds on and which versions judged since.

One line of ASCII, well under Kafka's 4,095 characters::

    1;<topic id>;<spec hash, 16 hex>;<partitions>;<older id>@<offset>;<newer
    id>@<offset>;<offset>:<bundle>:<threshold>;…

A snapshot id of ``-`` is the empty state at that offset. ``cold`` in place of the snapshots marks a group that has read
nothing yet. Readers in other languages find a trailing NUL, which the client adds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

BUDGET = 1_000
EMPTY = "-"
_COLD = "cold"


@dataclass(frozen=True, slots=True)
class Base:
    """A snapshot that catch-up may start from: its id and the offset of the next record."""

    snapshot: str
    offset: int


@dataclass(frozen=True, slots=True)
class Switch:
    """From `offset` on, records are judged by this bundle and threshold (digests)."""

    offset: int
    bundle: str
    threshold: str


@dataclass(frozen=True, slots=True)
class CommitMetadata:
    """What one partition's commit says about its state. `bases` oldest first; empty means cold."""

    topic_id: str
    spec: str
    partitions: int
    bases: tuple[Base, ...] = ()
    switches: tuple[Switch, ...] = field(default=())

    @property
    def cold(self) -> bool:
        return not self.bases

    def switched(self, switch: Switch) -> CommitMetadata:
        """With one more version switch; a switch at the same offset replaces the earlier one."""
        kept = tuple(s for s in self.switches if s.offset != switch.offset)
        return replace(self, switches=(*kept, switch))

    def based(self, base: Base) -> CommitMetadata:
        """With a newer snapshot: the newest two are kept, and the switches that a replay from the older one needs."""
        if self.bases and self.bases[-1].offset == base.offset:
            bases = (*self.bases[:-1], base)[-2:]
        else:
            bases = (*self.bases, base)[-2:]
        return replace(self, bases=bases, switches=tuple(s for s in self.switches if s.offset >= bases[0].offset))

    @property
    def full(self) -> bool:
        """No room for another switch: a new version waits for a snapshot."""
        return len(self.encode()) + 72 > BUDGET

    def encode(self) -> str:
        head = ["1", self.topic_id, self.spec, str(self.partitions)]
        if self.cold:
            return ";".join([*head, _COLD])
        bases = self.bases if len(self.bases) == 2 else (self.bases[0], self.bases[0])
        named = [f"{base.snapshot}@{base.offset}" for base in bases]
        return ";".join([*head, *named, *(f"{s.offset}:{s.bundle}:{s.threshold}" for s in self.switches)])

    @staticmethod
    def decode(text: str) -> CommitMetadata:
        """Raises ValueError on anything that `encode` does not write."""
        version, topic_id, spec, partitions, *rest = text.rstrip("\0").split(";")
        if version != "1":
            raise ValueError(f"commit metadata of version {version!r}; this release reads version 1")
        metadata = CommitMetadata(topic_id, spec, int(partitions))
        if rest == [_COLD]:
            return metadata
        older, newer, *switches = rest
        bases = tuple(Base(name, int(offset)) for name, offset in (b.rsplit("@", 1) for b in (older, newer)))
        return replace(
            metadata,
            bases=bases if bases[0] != bases[1] else bases[:1],
            switches=tuple(
                Switch(int(offset), bundle, threshold) for offset, bundle, threshold in (s.split(":") for s in switches)
            ),
        )
