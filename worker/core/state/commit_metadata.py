"""The metadata of an offset commit: the snapshots that the state builds on, and the versions in force since.

It is one line of ASCII, well under Kafka's limit of 4,095 characters::

    1;<topic id>;<spec hash, 16 hex>;<partitions>;<older id>@<offset>;<newer
    id>@<offset>;<offset>:<bundle>:<threshold>;…

A snapshot id of ``-`` stands for the empty state at that offset. ``cold`` instead of the snapshots marks a group that
has not read anything yet. Readers in other languages see a trailing NUL, which the client library adds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

BUDGET = 1_000
EMPTY = "-"
_COLD = "cold"
_SWITCH_LENGTH = 72


@dataclass(frozen=True, slots=True)
class Base:
    """A snapshot that catch-up may start from: its id and the offset of the next record."""

    snapshot: str
    offset: int


@dataclass(frozen=True, slots=True)
class Switch:
    """From `offset` on, records are scored with this bundle and threshold (digests)."""

    offset: int
    bundle: str
    threshold: str


@dataclass(frozen=True, slots=True)
class CommitMetadata:
    """What one partition's commit says about its state. `bases` are oldest first; none of them means cold."""

    topic_id: str
    spec: str
    partitions: int
    bases: tuple[Base, ...] = ()
    switches: tuple[Switch, ...] = field(default=())

    @property
    def cold(self) -> bool:
        return not self.bases

    def with_switch(self, switch: Switch) -> CommitMetadata:
        """Adds a version switch; it replaces an earlier one at the same offset."""
        kept = tuple(s for s in self.switches if s.offset != switch.offset)
        return replace(self, switches=(*kept, switch))

    def with_base(self, base: Base) -> CommitMetadata:
        """Adds a newer snapshot; keeps the newest two, and the switches that a replay from the older one needs."""
        if self.bases and self.bases[-1].offset == base.offset:
            bases = (*self.bases[:-1], base)[-2:]
        else:
            bases = (*self.bases, base)[-2:]
        return replace(self, bases=bases, switches=tuple(s for s in self.switches if s.offset >= bases[0].offset))

    @property
    def full(self) -> bool:
        """There is no room for another switch: a new version has to wait for a snapshot."""
        return len(self.encode()) + _SWITCH_LENGTH > BUDGET

    def encode(self) -> str:
        head = ["1", self.topic_id, self.spec, str(self.partitions)]
        if self.cold:
            return ";".join([*head, _COLD])
        bases = self.bases if len(self.bases) == 2 else (self.bases[0], self.bases[0])
        snapshots = [f"{base.snapshot}@{base.offset}" for base in bases]
        return ";".join([*head, *snapshots, *(f"{s.offset}:{s.bundle}:{s.threshold}" for s in self.switches)])

    @staticmethod
    def decode(text: str) -> CommitMetadata:
        """Raises ValueError for any text that `encode` does not write."""
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
