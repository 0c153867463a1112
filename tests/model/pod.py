"""One worker of the schedules: the real loop with all its collaborators, on the model's ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.model.broker import Broker
from tests.model.net import Net
from tests.model.source import ModelSource
from tests.model.stores import MemoryRegistry, MemorySnapshots
from tests.model.stream import SETTINGS
from worker.collaborators import Collaborators
from worker.core.events.decode import Limits, decoder_for
from worker.decode_ahead import DecodeAhead
from worker.health.degradation import HealthSampler
from worker.health.housekeeping import Housekeeping
from worker.health.watchdog import Watchdog
from worker.lifecycle import StopToken
from worker.loop import Worker
from worker.outputs.alerts import AlertOutputs
from worker.outputs.dead_letters import DeadLetters
from worker.partitions.assigned import Assignment
from worker.partitions.cold_start import ColdSampler
from worker.partitions.model_feed import ModelFeed
from worker.partitions.recovery import Recovery
from worker.partitions.snapshot_audit import SnapshotAudit
from worker.partitions.snapshot_writer import SnapshotWriter
from worker.partitions.snapshots import Snapshots
from worker.ports.log import Sink
from worker.ports.stores import SampleBlock
from worker.telemetry import Telemetry

LIMIT = 1_000_000


class Died(BaseException):
    """The pod's process was killed. Whatever it was doing stays half done."""


class Writer(SnapshotWriter):
    """A snapshot writer without a thread: the schedule makes its steps."""

    def flush(self, seconds: float) -> None:
        for _ in range(10):
            if not self._waiting:
                return
            self.step()


class AllLimits:
    """Output topics that all take records of the same size."""

    def of(self, topic: str) -> int:
        return LIMIT

    def properties(self) -> dict[str, int]:
        return {}


class Pod:
    """`name` is the transactional id: a new pod of the same name ends the transaction that a dead one left open."""

    def __init__(
        self,
        name: str,
        broker: Broker,
        net: Net,
        store: MemorySnapshots,
        registry: MemoryRegistry,
        sink: Callable[[Broker, Any, ModelSource], Sink],
        wall_ms: Callable[[], int],
    ) -> None:
        self.name = name
        self.busy = False
        self.telemetry = Telemetry(SETTINGS.stream)
        self.source = ModelSource(broker, net)
        self.sink = sink(broker, net, self.source)
        self.feed = ModelFeed(registry, SETTINGS.spec.spec_hash)
        self.feed.refresh()
        self.assignment = Assignment(self.source)
        self.writer = Writer(store, self.telemetry)
        self.audit = SnapshotAudit(store, self.assignment, broker.monotonic)
        kafka, telemetry = SETTINGS.kafka, self.telemetry
        collaborators = Collaborators(
            source=self.source,
            assignment=self.assignment,
            sink=self.sink,
            decoder=DecodeAhead(decoder_for("json", SETTINGS.spec, Limits())),
            feed=self.feed,
            recovery=Recovery(SETTINGS, self.source, store, self.feed, telemetry, self.sink, wall_ms),
            snapshots=Snapshots(self.writer, SETTINGS.state.snapshot_every, broker.monotonic),
            sampler=ColdSampler(_NoSamples(), SETTINGS.spec),
            alerts=AlertOutputs(SETTINGS.stream, kafka.alerts, SETTINGS.alerts.event, lambda _: LIMIT, wall_ms),
            scores=None,
            dead_letters=DeadLetters(kafka.dead_letters, lambda _: LIMIT, kafka.dead_letter_limit),
            housekeeping=Housekeeping(
                self.source,
                self.assignment,
                HealthSampler(self.source, self.assignment, self.feed, telemetry, SETTINGS, wall_ms),
                Watchdog(self.source, self.assignment, telemetry),
                self.audit,
                telemetry,
            ),
            telemetry=telemetry,
        )
        self.worker = Worker(collaborators, StopToken(), broker.monotonic, wall_ms)

    def stop(self) -> None:
        """Drain and leave the group, as after a signal."""
        self.worker.drain()
        self.source.close()
        self.sink.close()


class _NoSamples:
    """No samples: a cold start ends with a champion that someone promotes, not with one that is trained."""

    def add(self, *_: object) -> None: ...

    def rows(self) -> int:
        return 0

    def read(self) -> list[SampleBlock]:
        return []

    def clear(self) -> None: ...
