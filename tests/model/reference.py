"""The expected results: a fold over the log that follows nothing but the offsets that became stable.

Each stable commit says how far its partition was scored, and by which versions. A rewind or a rebuild starts another
pass, from the state that the commit names. A batch here is the span between two commits, not a batch of any worker.

The reference scores and folds with `worker.core.step`, as the product does: it checks the protocol around the fold,
not the fold itself, which the tests in tests/core check.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from tests.model.broker import TOPIC_ID, Broker, to_records
from tests.model.stream import SETTINGS
from worker.core.events.decode import Limits, decoder_for
from worker.core.model.serving_model import Versions
from worker.core.state.capture import restore_state
from worker.core.state.commit_metadata import EMPTY, Base, CommitMetadata
from worker.core.state.partition_state import PartitionState
from worker.core.state.snapshot import Snapshot
from worker.core.step import step
from worker.outputs.alerts import AlertOutputs
from worker.partitions.model_feed import ModelFeed
from worker.ports.log import Commit, Output, TopicPartition

COOLDOWN_MS = int(SETTINGS.alerts.cooldown * 1000)
ALERTS = AlertOutputs(SETTINGS.stream, SETTINGS.kafka.alerts, SETTINGS.alerts.event, lambda _: 1_000_000, lambda: 0)


@dataclass(slots=True)
class Pass:
    """One pass over one partition; `bases` are those that its last commit named."""

    state: PartitionState
    bases: tuple[Base, ...] = ()


@dataclass(slots=True)
class Reference:
    """Follows the broker's stable commits and the operator's moves, and checks each snapshot that is written."""

    broker: Broker
    feed: ModelFeed
    alerts: Counter[tuple[str, str]] = field(default_factory=Counter)
    letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _passes: dict[TopicPartition, Pass] = field(default_factory=dict)
    _moved: dict[TopicPartition, int] = field(default_factory=dict)
    _states: dict[TopicPartition, dict[int, set[bytes]]] = field(default_factory=dict)
    _snapshots: dict[str, bytes] = field(default_factory=dict)

    def note_move(self, source: TopicPartition, offset: int) -> None:
        """An operator set the group's offset."""
        self._moved[source] = offset

    def follow_commit(self, source: TopicPartition, commit: Commit) -> None:
        metadata = CommitMetadata.decode(commit.metadata) if commit.metadata else None
        if metadata is None or metadata.cold:
            return
        current, live_from = self._pass_of(source, metadata)
        self._fold(source, current.state, metadata, live_from, commit.offset)
        current.bases = metadata.bases
        self._passes[source] = current
        self._states.setdefault(source, {}).setdefault(commit.offset, set()).add(current.state.encode())

    def _pass_of(self, source: TopicPartition, metadata: CommitMetadata) -> tuple[Pass, int]:
        """The pass that a commit continues, and the offset from which on it publishes."""
        current, moved = self._passes.get(source), self._moved.pop(source, None)
        rebuilt = current is not None and metadata.bases[0].snapshot == EMPTY and metadata.bases[0] not in current.bases
        if current is not None and moved is None and not rebuilt:
            return current, current.state.next_offset
        base = metadata.bases[0] if rebuilt else metadata.bases[-1]
        live_from = base.offset if current is None else current.state.next_offset if moved is None else moved
        return Pass(self._at(source, base)), live_from

    def _at(self, source: TopicPartition, base: Base) -> PartitionState:
        if base.snapshot == EMPTY:
            bounds = SETTINGS.bounds
            return PartitionState(SETTINGS.spec, TOPIC_ID, source.partition, base.offset, COOLDOWN_MS, bounds)
        return PartitionState.decode(self._snapshots[base.snapshot], SETTINGS.spec, COOLDOWN_MS, SETTINGS.bounds)

    def _fold(
        self, source: TopicPartition, state: PartitionState, metadata: CommitMetadata, live_from: int, end: int
    ) -> None:
        """Fold up to `end`, each record under the version in force at it. No output is expected before `live_from`."""
        switches = [switch for switch in metadata.switches if switch.offset >= state.next_offset]
        stops = sorted({*(switch.offset for switch in switches), live_from, end})
        for stop in [stop for stop in stops if state.next_offset <= stop <= end]:
            self._score(source, state, stop, live=state.next_offset >= live_from)
            state.next_offset = stop
            for switch in switches:
                if switch.offset == stop:
                    state.adopt(Versions(switch.bundle, switch.threshold))

    def _score(self, source: TopicPartition, state: PartitionState, stop: int, *, live: bool) -> None:
        log = self.broker.logs[source]
        present = [(o, record) for o in range(state.next_offset, stop) if (record := log[o]) is not None]
        if not present:
            return
        records, model = to_records(source, present), self.feed.model_of(state.versions)
        decoded = decoder_for("json", SETTINGS.spec, Limits()).decode(records.values)
        taken = step(state, model, decoded, records.offsets, records.timestamps, records.key)
        if live:
            self.alerts.update(map(alert_of, ALERTS.outputs(TOPIC_ID, records, model, taken)))
            self.letters.update((str(source.partition), str(present[reject.index][0])) for reject in decoded.rejects)

    def check_snapshot(self, snapshot: Snapshot) -> None:
        """Each snapshot must hold a committed state to the byte, whether or not a commit names it."""
        source = TopicPartition(snapshot.topic, snapshot.partition)
        held = restore_state(snapshot, SETTINGS.spec, COOLDOWN_MS, SETTINGS.bounds).encode()
        moved = self._moved.get(source) == snapshot.offset and held in self._carried(snapshot)
        if held not in self._states.get(source, {}).get(snapshot.offset, ()) and not moved:
            self.wrong.append(f"snapshot {snapshot.id} of {source} at {snapshot.offset} holds no committed state")
        self._snapshots[snapshot.id] = held

    def _carried(self, snapshot: Snapshot) -> list[bytes]:
        """The states that an operator's move forward may carry to the new offset, without the records between."""
        carried = []
        for raw in self._snapshots.values():
            state = PartitionState.decode(raw, SETTINGS.spec, COOLDOWN_MS, SETTINGS.bounds)
            if state.partition == snapshot.partition and state.next_offset <= snapshot.offset:
                state.next_offset = snapshot.offset
                carried.append(state.encode())
        return carried


def alert_of(output: Output) -> tuple[str, str]:
    """Id and content of an alert, without the time of detection."""
    alert = json.loads(output.value)
    alert.pop("detected_at")
    return alert["alert_id"], json.dumps(alert, sort_keys=True)


def letter_of(output: Output) -> tuple[str, str]:
    """Partition and offset of the record that was rejected."""
    headers = dict(output.headers)
    return headers["offbeat-partition"].decode(), headers["offbeat-offset"].decode()
