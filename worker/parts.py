"""What the loop works with."""

from __future__ import annotations

from dataclasses import dataclass

from worker.decode_ahead import DecodeAhead
from worker.health.housekeeping import Housekeeping
from worker.outputs.alerts import AlertOutputs
from worker.outputs.dead_letters import DeadLetters
from worker.partitions.assigned import Assignment
from worker.partitions.cold_start import ColdSampler
from worker.partitions.recovery import Recovery
from worker.partitions.serving import ModelFeed
from worker.partitions.snapshots import Snapshots
from worker.ports.log import Sink, Source
from worker.telemetry import Telemetry


@dataclass(slots=True)
class Parts:
    """What the composition root puts together."""

    source: Source
    assignment: Assignment
    sink: Sink
    decoder: DecodeAhead
    feed: ModelFeed
    recovery: Recovery
    snapshots: Snapshots
    sampler: ColdSampler
    publisher: AlertOutputs
    dead_letters: DeadLetters
    housekeeping: Housekeeping
    telemetry: Telemetry
