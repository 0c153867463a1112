"""The state of one partition: a pure fold over the committed prefix of its log and the recorded versions.

Two runs over the same log give the same bytes: no wall clock, no batch boundary and no unseeded chance enters it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns
from worker.core.events.entity_names import PackedNames
from worker.core.events.event_clock import EventTimes
from worker.core.events.spec import FeatureSpec
from worker.core.model.histogram import BUCKETS, HistogramRing
from worker.core.model.serving_model import Versions
from worker.core.state.bounds import Bounds
from worker.core.state.entities import Entities, ObservedColumns
from worker.core.state.incidents import Change, Flagged, Incidents
from worker.core.state.reservoir import FLAGGED, TRAINABLE, Reservoir, draw_uniform, partition_seed
from worker.core.state.segments import Table

FORMAT = 3
RECENT_ROWS = 8_192
RECENT_VERSIONS = 3.0
"""Half-life of a recent row's weight, in model versions: the more often we train, the shorter "recent" becomes."""
RECENT_LEAST = 256.0
LASTING_ROWS = 2_048
DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """n scored rows of one partition in offset order, all scored by the same model.

    `offsets` (n,) int64; `times` their event times; `columns` n rows; `errors` (n,) float32; `p_buckets` (n,) int64,
    the histogram buckets of their held-out p-values; `flagged` and `trainable` (n,) bool.
    """

    offsets: npt.NDArray[np.int64]
    times: EventTimes
    columns: Columns
    errors: npt.NDArray[np.float32]
    p_buckets: npt.NDArray[np.int64]
    flagged: npt.NDArray[np.bool_]
    trainable: npt.NDArray[np.bool_]


class PartitionState:
    """Everything that events of one partition change and that scoring or training depends on."""

    def __init__(
        self,
        spec: FeatureSpec,
        topic_id: str,
        partition: int,
        next_offset: int,
        cooldown_ms: int,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        self.spec = spec
        self.topic_id = topic_id
        self.partition = partition
        self.next_offset = next_offset
        self.clock_ms: int | None = None
        self.versions = Versions("", "")
        self.ring = HistogramRing()
        self.recent = Reservoir(spec, RECENT_ROWS, RECENT_LEAST)
        self.lasting = Reservoir(spec, LASTING_ROWS, None)
        self.incidents = Incidents(cooldown_ms)
        self.entities = Entities(spec, bounds)
        self.bundle_since = next_offset
        self._seed = partition_seed(topic_id, partition)

    def adopt(self, versions: Versions) -> None:
        """These versions score from the next record on. A new bundle also sets the half-life of the recent sample."""
        if versions.bundle != self.versions.bundle:
            served = self.next_offset - self.bundle_since
            self.recent.pace(max(RECENT_LEAST, RECENT_VERSIONS * served), self.next_offset)
            self.bundle_since = self.next_offset
        self.versions = versions

    @property
    def seed(self) -> np.uint64:
        """The seed that keys every random draw of this partition."""
        return self._seed

    def observe(
        self, columns: Columns, names: Callable[[], PackedNames], times: EventTimes, offsets: npt.NDArray[np.int64]
    ) -> ObservedColumns:
        """The columns of n decoded events as the model sees them, each from the state before it; moves the clock.

        `names` returns their entities; it is called only if the columns depend on them.
        """
        if len(offsets):
            self.clock_ms = int(times.clock[-1])
        if not self.spec.stateful:
            return ObservedColumns(columns, 0, 0)
        return self.entities.observe(columns, names(), times.times, times.clock, offsets)

    def fold(self, rows: ScoredRows, flagged: Sequence[Flagged]) -> list[Change]:
        """Add n scored rows to histogram, samples and incidents; returns how the incidents changed, in log order.

        `flagged` are the flagged rows among them, in offset order.
        """
        if not len(rows.offsets):
            return []
        self.ring.count(rows.times.clock, rows.p_buckets)
        marks = rows.flagged * FLAGGED | rows.trainable * TRAINABLE
        uniform = draw_uniform(self._seed, rows.offsets)
        self.recent.offer(uniform, rows.offsets, rows.times.times, marks, rows.columns)
        self.lasting.offer(uniform, rows.offsets, rows.times.times, marks, rows.columns, among=rows.trainable)
        changes: list[Change] = []
        for record in flagged:
            changes += self.incidents.advance(record.clock_ms)
            changes.append(self.incidents.flag(record))
        changes += self.incidents.advance(int(rows.times.clock[-1]))
        return changes

    # The encoding: a head, and tables of rows by the offset of their last change.

    @property
    def tables(self) -> dict[str, Table]:
        return {"recent": self.recent, "lasting": self.lasting, "incidents": self.incidents, "entities": self.entities}

    def head(self) -> bytes:
        """Everything but the tables' rows: a few kilobytes."""
        return msgspec.msgpack.encode(
            {
                "format": FORMAT,
                "spec": self.spec.spec_hash,
                "topic_id": self.topic_id,
                "partition": self.partition,
                "next_offset": self.next_offset,
                "bundle_since": self.bundle_since,
                "clock_ms": self.clock_ms,
                "versions": [self.versions.bundle, self.versions.threshold],
                "ring": [[hour, *_sparse(self.ring.hours[hour])] for hour in sorted(self.ring.hours)],
                "paced": [self.recent.paced, self.lasting.paced],
                "oldest": [self.incidents.oldest, self.entities.oldest],
            }
        )

    def encode(self) -> bytes:
        """Canonical bytes: equal states have equal bytes."""
        tables = {name: [encode() for encode in table.capture(0)] for name, table in self.tables.items()}
        return msgspec.msgpack.encode([self.head(), tables])

    @staticmethod
    def decode(raw: bytes, spec: FeatureSpec, cooldown_ms: int, bounds: Bounds = DEFAULT_BOUNDS) -> PartitionState:
        """The inverse of `encode`; raises as `restore`."""
        try:
            head, tables = msgspec.msgpack.decode(raw, type=tuple[bytes, dict[str, list[bytes]]])
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a partition state: {error}") from error
        return PartitionState.restore(head, tables, spec, cooldown_ms, bounds)

    @staticmethod
    def restore(
        head: bytes,
        tables: Mapping[str, Sequence[bytes]],
        spec: FeatureSpec,
        cooldown_ms: int,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> PartitionState:
        """From a head and the segments of the tables, older first; a table that is not given stays empty.

        Raises ValueError for bytes that are damaged, incomplete, or of another format or feature spec.
        """
        try:
            plain: dict[str, Any] = msgspec.msgpack.decode(head)
            if plain["format"] != FORMAT:
                raise ValueError(f"state of format {plain['format']}; this release reads {FORMAT}")
            if plain["spec"] != spec.spec_hash:
                raise ValueError(f"state of feature spec {plain['spec']}, the configuration has {spec.spec_hash}")
            topic_id, partition, at = plain["topic_id"], plain["partition"], plain["next_offset"]
            state = PartitionState(spec, topic_id, partition, at, cooldown_ms, bounds)
            state.clock_ms = plain["clock_ms"]
            state.bundle_since = plain["bundle_since"]
            state.versions = Versions(*plain["versions"])
            state.ring = HistogramRing({hour: _dense(places, counts) for hour, places, counts in plain["ring"]})
            state.recent.load(tables.get("recent", ()), plain["paced"][0])
            state.lasting.load(tables.get("lasting", ()), plain["paced"][1])
            oldest_incident, oldest_entity = plain["oldest"]
            state.incidents.load(tables.get("incidents", ()), oldest_incident, state.clock_ms)
            state.entities.load(tables.get("entities", ()), oldest_entity)
        except (msgspec.DecodeError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not a partition state: {error}") from error
        return state


def _sparse(counts: npt.NDArray[np.int64]) -> tuple[bytes, bytes]:
    places = np.flatnonzero(counts)
    return places.astype("<i2").tobytes(), counts[places].astype("<i8").tobytes()


def _dense(places: bytes, counts: bytes) -> npt.NDArray[np.int64]:
    full = np.zeros(BUCKETS, np.int64)
    full[np.frombuffer(places, "<i2")] = np.frombuffer(counts, "<i8")
    return full
