"""Bugs to be found: each makes the product wrong in one place for as long as it is planted."""

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
from worker.core.state.commit_metadata import CommitMetadata
from worker.core.state.partition_state import PartitionState
from worker.loop import Worker
from worker.partitions.assigned import AssignedPartition, Assignment, Phase
from worker.partitions.recovery import Recovery
from worker.partitions.serving import ServingModel
from worker.partitions.snapshots import taken
from worker.ports.log import Commit, Output, ProducerReplaced, TopicPartition
from worker.ports.stores import Ancestor, Snapshot

Bug = Callable[[], AbstractContextManager[object]]
_go = Recovery._go
_publish = Worker._publish


def _replaced(owner: Any, name: str, by: Any) -> Bug:
    return lambda: patch.object(owner, name, by)


def _no_catch_up(
    self: Recovery,
    assigned: AssignedPartition,
    state: PartitionState,
    model: ServingModel | None,
    metadata: CommitMetadata,
    target: int,
) -> None:
    state.next_offset = target
    _go(self, assigned, state, model, metadata, target)


def _todays(
    self: Recovery,
    assigned: AssignedPartition,
    state: PartitionState,
    model: ServingModel | None,
    metadata: CommitMetadata,
    target: int,
) -> None:
    model = self._feed.latest or model
    if model is not None:
        assigned.replay = []
        state.adopt(model.versions)
    _go(self, assigned, state, model, metadata, target)


def _late_membership(self: Worker, outputs: list[tuple[AssignedPartition, list[Output]]], _: object) -> None:
    _publish(self, outputs, self._parts.source.membership())


def _early_snapshot(self: Worker, outputs: list[tuple[AssignedPartition, list[Output]]], membership: object) -> None:
    writer = self._parts.snapshots._writer
    for assigned in self.assignment:
        if assigned.phase is Phase.LIVE and assigned.state is not None and not assigned.in_flight and any(outputs):
            writer.submit(taken(assigned, assigned.state, assigned.stored, self._wall_ms()))
            assigned.in_flight, assigned.snapshot_offset = True, assigned.state.next_offset
    _publish(self, outputs, membership)


class _NoTransaction:
    """Outputs, then a plain commit."""

    def __init__(self, broker: Broker, net: PodNet, source: ModelSource) -> None:
        self._broker, self._net, self._source = broker, net, source

    def publish(self, outputs: Sequence[Output], commits: dict[TopicPartition, Commit], membership: object) -> None:
        for output in outputs:
            self._broker.append(output)
            self._net.step("produced")
        parts = [KafkaPartition(*source, one.offset, one.metadata) for source, one in commits.items()]
        try:
            self._source.commit(parts)
        except KafkaException as error:
            raise ProducerReplaced(str(error)) from error

    def limit(self, topic: str) -> int:
        return 1_000_000

    def close(self) -> None: ...


def _newest_only(assigned: AssignedPartition, stored: Snapshot, wall_ms: int) -> list[Ancestor]:
    return [stored.ancestor]


PLANTED: dict[str, Bug] = {
    "none": nullcontext,
    "no assignment filter": _replaced(Assignment, "holds", lambda *_: True),
    "group metadata taken at commit": _replaced(Worker, "_publish", _late_membership),
    "the state of a batch kept whose outputs were dropped": _replaced(Worker, "_recover_all", lambda _: None),
    "read_uncommitted offsets": _replaced(Broker, "stable", Broker.unstable),
    "no catch-up": _replaced(Recovery, "_go", _no_catch_up),
    "catch-up with today's versions": _replaced(Recovery, "_go", _todays),
    "a snapshot of uncommitted state": _replaced(Worker, "_publish", _early_snapshot),
    "no transaction": _replaced(stage, "transactional", _NoTransaction),
    "collects what a commit names": _replaced(snapshots, "kept_line", _newest_only),
}
