"""One partition of the model broker, with the model's stores, for the tests of single modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.model.broker import TOPIC_ID, Broker, Record
from tests.model.group import Membership
from tests.model.net import Net
from tests.model.source import ModelSource
from tests.model.stores import MemoryRegistry, MemorySnapshots
from tests.model.stream import SETTINGS, START_MS, Events, serving_model, versions
from worker.config.settings import Settings
from worker.core.events.decode import Limits, decoder_for
from worker.core.model.serving_model import ServingModel, Versions
from worker.core.state.capture import capture_state
from worker.core.state.commit_metadata import Base, CommitMetadata, Switch
from worker.core.state.partition_state import PartitionState
from worker.core.state.snapshot import Ancestor, Snapshot
from worker.core.step import step
from worker.partitions.assigned import AssignedPartition, Assignment, Phase, Placed
from worker.partitions.model_feed import ModelFeed
from worker.partitions.recovery import Recovery
from worker.ports.log import Commit, LogUnavailable, Output, PublishAborted, TopicPartition
from worker.ports.stores import StoreUnavailable
from worker.telemetry import Telemetry

SOURCE = TopicPartition("events", 0)
SPEC = SETTINGS.spec
SHORT_SPEC = SPEC.spec_hash.removeprefix("sha256:")[:16]
COOLDOWN_MS = int(SETTINGS.alerts.cooldown * 1000)


class Log(ModelSource):
    """The model's consumer, with a log whose start, topic id and answers a test may change."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker, Net())
        self.low = 0
        self.id = TOPIC_ID
        self.answers = True
        self.admitted = True

    def bounds(self, source: TopicPartition, seconds: float = 5.0) -> tuple[int, int]:
        return self.low, super().bounds(source)[1]

    def topic_id(self, topic: str) -> str:
        return self.id

    def committed(self, sources: Sequence[TopicPartition]) -> Any:
        if not self.answers:
            raise LogUnavailable("timed out")
        return super().committed(sources)

    def membership(self) -> Membership | None:
        return super().membership() if self.admitted else None


class DirectSink:
    """Commits to the broker without a transaction, and keeps what was published."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.commits: list[Commit] = []
        self.aborts = False

    def publish(self, outputs: Sequence[Output], commits: Mapping[TopicPartition, Commit], membership: object) -> None:
        if self.aborts:
            raise PublishAborted("planted")
        for source, commit in commits.items():
            self._broker.commit(source, commit)
            self.commits.append(commit)

    def limit(self, topic: str) -> int:
        return 1_000_000

    def close(self) -> None: ...


class Bench:
    """A member that holds every partition, and what recovery needs; each part may be changed by a test.

    `now` is the monotonic clock in seconds; the wall clock stands at `START_MS`.
    """

    def __init__(self, *, records: int = 60, partitions: int = 1, **sections: Mapping[str, Any]) -> None:
        self.now = 0.0
        self.redis_up = True
        self.broker = Broker(lambda: self.now, partitions)
        self.broker.logs[SOURCE] += Events(1).many(records)
        self.store, self.registry = MemorySnapshots(self._redis), MemoryRegistry(self._redis)
        self.source, self.sink = Log(self.broker), DirectSink(self.broker)
        self.telemetry = Telemetry("events", monotonic=lambda: self.now, wall_ms=lambda: START_MS)
        self.settings = with_sections(SETTINGS, **sections)
        self.feed = ModelFeed(self.registry, SPEC.spec_hash)
        self.assignment = Assignment(self.source)
        self.recovery = Recovery(
            self.settings, self.source, self.store, self.feed, self.telemetry, self.sink, lambda: START_MS
        )
        self.source.poll(0, 0.0, 0.0)  # joins the group
        self.assignment.apply_changes(self.now)

    def _redis(self) -> None:
        if not self.redis_up:
            raise StoreUnavailable("planted")

    @property
    def assigned(self) -> AssignedPartition:
        assigned = self.assignment.get(SOURCE)
        assert assigned is not None
        return assigned

    def promote(self, number: int = 1) -> Versions:
        """Make one of the three trained versions the champion."""
        champion = self.registry.promote_version(SPEC.spec_hash, versions()[number - 1])
        self.feed.refresh()
        return Versions(champion.bundle, champion.threshold)

    def place(self, seconds: float = 0.0) -> AssignedPartition:
        """One pass of recovery, `seconds` later."""
        self.now += seconds
        self.recovery.place(self.assignment, self.now)
        return self.assigned

    # A history, as an earlier worker would have left it.

    def state(self, until: int, number: int = 1, *, start: int = 0, on: PartitionState | None = None) -> PartitionState:
        """The state at offset `until`: the records from `start` on, or from where `on` ends, under one version."""
        model, log = serving_model(number), self.broker.logs[SOURCE]
        state = on or PartitionState(SPEC, TOPIC_ID, SOURCE.partition, start, COOLDOWN_MS, SETTINGS.bounds)
        if state.versions != model.versions:
            state.adopt(model.versions)
        fold(state, model, [(offset, log[offset]) for offset in range(state.next_offset, until)])
        state.next_offset = until
        return state

    def snapshot(
        self, state: PartitionState, parent: Snapshot | None = None, ancestors: tuple[Ancestor, ...] = ()
    ) -> Snapshot:
        """Write a snapshot of a state to the store."""
        snapshot = capture_state(state, SOURCE.topic, parent, ancestors, START_MS).encode()
        self.store.put(snapshot)
        return snapshot

    def commit(self, offset: int, metadata: CommitMetadata | str = "") -> Commit:
        """Set the group's offset."""
        text = metadata if isinstance(metadata, str) else metadata.encode()
        commit = Commit(offset, text)
        self.broker.commit(SOURCE, commit)
        return commit


def with_sections(settings: Settings, **sections: Mapping[str, Any]) -> Settings:
    """The settings with some values of some sections changed."""
    update = {name: getattr(settings, name).model_copy(update=dict(values)) for name, values in sections.items()}
    return settings.model_copy(update=update)


def fold(state: PartitionState, model: ServingModel, records: Sequence[tuple[int, Record | None]]) -> None:
    """Take a state through records with their offsets, in one step."""
    present = [(offset, record) for offset, record in records if record is not None]
    if not present:
        return
    offsets = np.array([offset for offset, _ in present])
    timestamps = np.array([record.timestamp for _, record in present])
    decoded = decoder_for("json", SPEC, Limits()).decode([record.value for _, record in present])
    step(state, model, decoded, offsets, timestamps, lambda i: present[i][1].key)


def commit_metadata(
    *bases: Base,
    switches: Sequence[Switch] = (),
    topic_id: str = TOPIC_ID,
    spec: str = SHORT_SPEC,
    partitions: int = 1,
) -> CommitMetadata:
    """The metadata of a commit under the bench's topic and feature spec; without bases it is cold."""
    return CommitMetadata(topic_id, spec, partitions, bases, tuple(switches))


def switch(offset: int, number: int) -> Switch:
    """To version `number` at `offset`."""
    versions = serving_model(number).versions
    return Switch(offset, versions.bundle, versions.threshold)


def base(snapshot: Snapshot) -> Base:
    return Base(snapshot.id, snapshot.offset)


def placed_by(bench: Bench) -> Placed:
    """Place the partition, which must succeed."""
    assigned = bench.place()
    assert assigned.placed is not None, assigned.waiting_for
    return assigned.placed


def waits(assigned: AssignedPartition, reason: str) -> bool:
    return assigned.phase is Phase.RECOVERING and reason in assigned.waiting_for


def restorable(bench: Bench) -> tuple[Commit, CommitMetadata]:
    """Committed up to 50, with a snapshot at 20, another at 30, and a switch to version 2 at 40."""
    older = bench.state(20)
    first = bench.snapshot(older)
    second = bench.snapshot(bench.state(30, on=older), first, (first.ancestor,))
    metadata = commit_metadata(base(first), base(second), switches=[switch(20, 1), switch(40, 2)])
    bench.registry.put_version(versions()[0])
    bench.registry.put_version(versions()[1])
    return bench.commit(50, metadata), metadata
