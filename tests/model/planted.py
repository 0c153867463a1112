"""Planted bugs, which the schedules have to find. Each changes the product in one place while it is planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

import tests.model.stage as stage
import worker.partitions.snapshots as snapshots
from tests.model.broker import Broker
from tests.model.mishaps import PodNet
from tests.model.source import ModelSource
from worker.core.state.capture import capture_state
from worker.core.state.partition_state import PartitionState
from worker.core.state.snapshot import Ancestor, Snapshot
from worker.loop import Worker
from worker.partitions.assigned import AssignedPartition, Assignment, Placed
from worker.partitions.recovery import Recovery
from worker.partitions.snapshot_writer import PendingSnapshot
from worker.ports.log import Commit, Output, ProducerReplaced, TopicPartition

Bug = Callable[[], AbstractContextManager[object]]
_start_catch_up = Recovery._start_catch_up
_publish = Worker._publish


def _replace(owner: Any, name: str, by: Any) -> Bug:
    return lambda: patch.object(owner, name, by)


def _no_catch_up(
    self: Recovery,
    place: Any,
    state: PartitionState,
    model: Any,
    metadata: Any,
    target: int,
    stored: Any = None,
    switches: Any = (),
) -> Placed:
    state.next_offset = target
    return _start_catch_up(self, place, state, model, metadata, target, stored, switches)


def _with_todays_versions(
    self: Recovery,
    place: Any,
    state: PartitionState,
    model: Any,
    metadata: Any,
    target: int,
    stored: Any = None,
    switches: Any = (),
) -> Placed:
    model = self._feed.latest or model
    if model is not None:
        switches = ()
        state.adopt(model.versions)
    return _start_catch_up(self, place, state, model, metadata, target, stored, switches)


def _late_membership(self: Worker, outputs: list[tuple[AssignedPartition, list[Output]]], _: object) -> None:
    _publish(self, outputs, self._source.membership())


def _early_snapshot(self: Worker, outputs: list[tuple[AssignedPartition, list[Output]]], membership: object) -> None:
    for assigned in self.assignment:
        placed = assigned.live
        if placed is not None and not placed.in_flight and any(outputs):
            kept = (placed.stored.ancestor,) if placed.stored is not None else ()
            captured = capture_state(placed.state, assigned.source.topic, placed.stored, kept, self._wall_ms())
            self._snapshots._writer.submit(PendingSnapshot(assigned.source, assigned.number, captured))
            placed.in_flight, placed.captured = True, placed.state.next_offset
    _publish(self, outputs, membership)


class _NoTransaction:
    """A sink that writes the outputs, then commits outside a transaction."""

    def __init__(self, broker: Broker, net: PodNet, source: ModelSource) -> None:
        self._broker, self._net, self._source = broker, net, source

    def publish(self, outputs: Sequence[Output], commits: dict[TopicPartition, Commit], membership: object) -> None:
        for output in outputs:
            self._broker.append(output)
            self._net.step("produced")
        parts = [KafkaPartition(*source, commit.offset, commit.metadata) for source, commit in commits.items()]
        try:
            self._source.commit(parts)
        except KafkaException as error:
            raise ProducerReplaced(str(error)) from error

    def limit(self, topic: str) -> int:
        return 1_000_000

    def close(self) -> None: ...


def _newest_only(stored: Snapshot, named: tuple[str, ...], wall_ms: int, low: int) -> tuple[Ancestor, ...]:
    return (stored.ancestor,)


PLANTED: dict[str, Bug] = {
    "none": nullcontext,
    "no assignment filter": _replace(Assignment, "publishes", lambda *_: True),
    "group metadata taken at commit": _replace(Worker, "_publish", _late_membership),
    "the state of a batch kept whose outputs were dropped": _replace(Worker, "_recover_all", lambda _: None),
    "read_uncommitted offsets": _replace(Broker, "stable", Broker.unstable),
    "no catch-up": _replace(Recovery, "_start_catch_up", _no_catch_up),
    "catch-up with today's versions": _replace(Recovery, "_start_catch_up", _with_todays_versions),
    "a snapshot of uncommitted state": _replace(Worker, "_publish", _early_snapshot),
    "no transaction": _replace(stage, "transactional", _NoTransaction),
    "collects what a commit names": _replace(snapshots, "ancestors_to_keep", _newest_only),
}
