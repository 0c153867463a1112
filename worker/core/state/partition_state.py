"""The state of one partition: a pure fold over the committed prefix of its log and the recorded versions.

Two runs over the same log give the same bytes: no wall clock, no batch boundary and no unseeded chance enters here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns
from worker.core.events.entity_names import PackedNames
from worker.core.events.event_time import HOUR_MS, EventTimes
from worker.core.events.spec import FeatureSpec
from worker.core.model.histogram import BUCKETS
from worker.core.state.bounds import Bounds
from worker.core.state.entities import Entities, ObservedColumns
from worker.core.state.incidents import Incidents
from worker.core.state.reservoir import FLAGGED, TRAINABLE, Reservoir, draw_uniform, partition_seed
from worker.core.state.segments import Table

FORMAT = 3
RECENT_ROWS = 8_192
RECENT_VERSIONS = 3.0
"""A recent row's weight halves while so many versions come and go: what is recent follows how often is learnt."""
RECENT_LEAST = 256.0
LASTING_ROWS = 2_048
RING_HOURS = 24
DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Versions:
    """The pair in force: digests of bundle and threshold."""

    bundle: str
    threshold: str


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """n scored rows of one partition in offset order, under one pair of versions.

    `offsets` (n,) int64; `times` of the rows; `columns` n rows; `errors` (n,) float32; `p_buckets` (n,) int64 buckets
    of their held-out p-values; `flagged` and `trainable` (n,) bool.
    """

    offsets: npt.NDArray[np.int64]
    times: EventTimes
    columns: Columns
    errors: npt.NDArray[np.float32]
    p_buckets: npt.NDArray[np.int64]
    flagged: npt.NDArray[np.bool_]
    trainable: npt.NDArray[np.bool_]


@dataclass(slots=True)
class HistogramRing:
    """Histograms of held-out p-values by hour of the partition's clock: the last 24 hours that had events.

    Flagged events count too: left out, they would make the threshold erode itself.
    """

    hours: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)

    def count(self, clock: npt.NDArray[np.int64], buckets: npt.NDArray[np.int64]) -> None:
        slots = clock // HOUR_MS
        for hour in np.unique(slots[[0, -1]] if slots[0] == slots[-1] else slots).tolist():
            inside = buckets if slots[0] == slots[-1] else buckets[slots == hour]
            counts = np.bincount(inside, minlength=BUCKETS)
            self.hours[hour] = self.hours[hour] + counts if hour in self.hours else counts
        for hour in sorted(self.hours)[:-RING_HOURS]:
            del self.hours[hour]

    def total(self) -> npt.NDArray[np.int64]:
        return sum(self.hours.values(), np.zeros(BUCKETS, np.int64))

    @staticmethod
    def merged(rings: Iterable[HistogramRing]) -> HistogramRing:
        """The sum of several partitions' rings, exactly."""
        hours: dict[int, npt.NDArray[np.int64]] = {}
        for ring in rings:
            for hour, counts in ring.hours.items():
                hours[hour] = hours[hour] + counts if hour in hours else counts
        return HistogramRing(hours)


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
        """From the next record on these versions judge; a new bundle sets the pace of the recent sample."""
        if versions.bundle != self.versions.bundle:
            served = self.next_offset - self.bundle_since
            self.recent.pace(max(RECENT_LEAST, RECENT_VERSIONS * served), self.next_offset)
            self.bundle_since = self.next_offset
        self.versions = versions

    @property
    def seed(self) -> np.uint64:
        """What every draw of this partition is keyed by."""
        return self._seed

    def observe(self, columns: Columns, names: Callable[[], PackedNames], times: EventTimes,
                offsets: npt.NDArray[np.int64]) -> ObservedColumns:  # fmt: skip
        """n decoded events as the model sees them, from what was known of their entities before each; then they are
        known. `names` are their entities, asked for only where the columns depend on them.
        """
        if not self.spec.stateful:
            return ObservedColumns(columns, 0, 0)
        return self.entities.observe(columns, names(), times.times, times.clock, offsets)

    def fold(self, rows: ScoredRows) -> None:
        """Learn n judged rows: clock, histogram and samples. Incidents are folded by `worker.outputs.alerts`."""
        if not len(rows.offsets):
            return
        self.clock_ms = int(rows.times.clock[-1])
        self.ring.count(rows.times.clock, rows.p_buckets)
        marks = rows.flagged * FLAGGED | rows.trainable * TRAINABLE
        uniform = draw_uniform(self._seed, rows.offsets)
        self.recent.offer(uniform, rows.offsets, rows.times.times, marks, rows.columns)
        self.lasting.offer(uniform, rows.offsets, rows.times.times, marks, rows.columns, among=rows.trainable)

    # Bytes: a head, and tables of rows by the offset of their last change.

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
        """Canonical bytes: equal states give equal bytes."""
        tables = {name: [encode() for encode in table.capture(0)] for name, table in self.tables.items()}
        return msgspec.msgpack.encode([self.head(), tables])

    @staticmethod
    def decode(raw: bytes, spec: FeatureSpec, cooldown_ms: int, bounds: Bounds = DEFAULT_BOUNDS) -> PartitionState:
        """`encode` undone; raises as `restore`."""
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
        """From a head and the segments of its tables, older first; a table that is not given stays empty.

        Raises ValueError on bytes of another format or feature spec, or with a part missing.
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
