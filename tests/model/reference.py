"""What has to come out: a plain fold over the log, driven by nothing but the offsets that became stable.

Each stable commit tells how far its partition was judged and by which versions; a rewind or a rebuild starts another
pass from the state that the commit names. Batches are the spans between commits, not those of any worker.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from tests.model.broker import TOPIC_ID, Broker, fetched
from tests.model.stream import SETTINGS
from worker.core.events.decode import Limits, decoder_for
from worker.core.events.event_time import event_times
from worker.core.state.commit_metadata import EMPTY, Base, CommitMetadata
from worker.core.state.partition_state import PartitionState, ScoredRows, Versions
from worker.outputs.alerts import AlertOutputs
from worker.partitions.assigned import AssignedPartition, Phase
from worker.partitions.serving import ModelFeed
from worker.partitions.snapshots import restored
from worker.ports.log import Commit, Output, TopicPartition
from worker.ports.stores import Snapshot
from worker.telemetry import Telemetry

COOLDOWN_MS = int(SETTINGS.alerts.cooldown * 1000)


@dataclass(slots=True)
class Line:
    """One pass over one partition; `bases` as its last commit named them."""

    state: PartitionState
    bases: tuple[Base, ...] = ()


@dataclass(slots=True)
class Reference:
    """Told of the broker's stable commits, of operators' moves and of each snapshot that is written."""

    broker: Broker
    feed: ModelFeed
    alerts: Counter[tuple[str, str]] = field(default_factory=Counter)
    letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _lines: dict[TopicPartition, Line] = field(default_factory=dict)
    _moved: dict[TopicPartition, int] = field(default_factory=dict)
    _states: dict[TopicPartition, dict[int, set[bytes]]] = field(default_factory=dict)
    _snapshots: dict[str, bytes] = field(default_factory=dict)

    def moved(self, source: TopicPartition, offset: int) -> None:
        """An operator set the group's offset."""
        self._moved[source] = offset

    def committed(self, source: TopicPartition, commit: Commit) -> None:
        metadata = CommitMetadata.decode(commit.metadata) if commit.metadata else None
        if metadata is None or metadata.cold:
            return
        line, live_from = self._line(source, metadata)
        self._fold(source, line.state, metadata, live_from, commit.offset)
        line.bases = metadata.bases
        self._lines[source] = line
        self._states.setdefault(source, {}).setdefault(commit.offset, set()).add(line.state.encode())

    def _line(self, source: TopicPartition, metadata: CommitMetadata) -> tuple[Line, int]:
        """The line that a commit goes on with, and the offset from which it publishes."""
        line, moved = self._lines.get(source), self._moved.pop(source, None)
        rebuilt = line is not None and metadata.bases[0].snapshot == EMPTY and metadata.bases[0] not in line.bases
        if line is not None and moved is None and not rebuilt:
            return line, line.state.next_offset
        base = metadata.bases[0] if rebuilt else metadata.bases[-1]
        live_from = base.offset if line is None else line.state.next_offset if moved is None else moved
        return Line(self._at(source, base)), live_from

    def _at(self, source: TopicPartition, base: Base) -> PartitionState:
        if base.snapshot == EMPTY:
            bounds = SETTINGS.bounds
            return PartitionState(SETTINGS.spec, TOPIC_ID, source.partition, base.offset, COOLDOWN_MS, bounds)
        return PartitionState.decode(self._snapshots[base.snapshot], SETTINGS.spec, COOLDOWN_MS, SETTINGS.bounds)

    def _fold(
        self, source: TopicPartition, state: PartitionState, metadata: CommitMetadata, live_from: int, end: int
    ) -> None:
        """Up to `end`, each record by the version in force at it; nothing is expected before `live_from`."""
        switches = [one for one in metadata.switches if one.offset >= state.next_offset]
        stops = sorted({*(one.offset for one in switches), live_from, end})
        for stop in [stop for stop in stops if state.next_offset <= stop <= end]:
            self._judge(source, state, stop, live=state.next_offset >= live_from)
            state.next_offset = stop
            for one in switches:
                if one.offset == stop:
                    state.adopt(Versions(one.bundle, one.threshold))

    def _judge(self, source: TopicPartition, state: PartitionState, stop: int, *, live: bool) -> None:
        log = self.broker.logs[source]
        found = [(o, one) for o in range(state.next_offset, stop) if (one := log[o]) is not None]
        if not found:
            return
        records, model = fetched(source, found), self.feed.model_of(state.versions)
        decoded = decoder_for("json", SETTINGS.spec, Limits()).decode(records.values)
        times = event_times(decoded.times, records.timestamps[decoded.index], state.clock_ms)
        offsets = records.offsets[decoded.index]
        observed = state.observe(decoded.columns, lambda: decoded.entities(records.key), times, offsets)
        judged = model.detector.score(model.detector.encoder.transform(observed.columns))
        errors = judged.errors
        rows = ScoredRows(offsets, times, observed.columns, errors, model.threshold.p_buckets(errors),
                      model.threshold.flagged(errors), errors < model.training_cut)  # fmt: skip
        state.fold(rows)
        assigned = AssignedPartition(source, 0, Phase.LIVE if live else Phase.CATCHING_UP, TOPIC_ID, model, state)
        for output in _publisher().outputs(assigned, records, decoded, rows, judged):
            self.alerts[alert_of(output)] += 1
        if live:
            self.letters.update((str(source.partition), str(found[one.index][0])) for one in decoded.rejects)

    def written(self, snapshot: Snapshot) -> None:
        """Each snapshot holds a state that was committed, to the byte; whether anything names it or not."""
        source = TopicPartition(snapshot.topic, snapshot.partition)
        held = restored(snapshot, SETTINGS.spec, COOLDOWN_MS, SETTINGS.bounds).encode()
        moved = self._moved.get(source) == snapshot.offset and held in self._carried(snapshot)
        if held not in self._states.get(source, {}).get(snapshot.offset, ()) and not moved:
            self.wrong.append(f"snapshot {snapshot.id} of {source} at {snapshot.offset} is no committed state")
        self._snapshots[snapshot.id] = held

    def _carried(self, snapshot: Snapshot) -> list[bytes]:
        """What an operator's move takes along from before it: to the new offset, without what lies between."""
        found = []
        for raw in self._snapshots.values():
            state = PartitionState.decode(raw, SETTINGS.spec, COOLDOWN_MS, SETTINGS.bounds)
            if state.partition == snapshot.partition and state.next_offset <= snapshot.offset:
                state.next_offset = snapshot.offset
                found.append(state.encode())
        return found


def alert_of(output: Output) -> tuple[str, str]:
    """Id and content, without the time of detection."""
    alert = json.loads(output.value)
    alert.pop("detected_at")
    return alert["alert_id"], json.dumps(alert, sort_keys=True)


def letter_of(output: Output) -> tuple[str, str]:
    """Partition and offset of the record that was rejected."""
    headers = dict(output.headers)
    return headers["offbeat-partition"].decode(), headers["offbeat-offset"].decode()


def _publisher() -> AlertOutputs:
    kafka = SETTINGS.kafka
    return AlertOutputs(SETTINGS.stream, kafka.alerts, None, SETTINGS.alerts.event, lambda _: 1_000_000, lambda: 0,
                     Telemetry(SETTINGS.stream))  # fmt: skip
