"""The objects that the loop works with."""

from __future__ import annotations

from dataclasses import dataclass

from worker.decode_ahead import DecodeAhead
from worker.health.housekeeping import Housekeeping
from worker.outputs.alerts import AlertOutputs
from worker.outputs.dead_letters import DeadLetters
from worker.outputs.scores import ScoreOutputs
from worker.partitions.assigned import Assignment
from worker.partitions.cold_start import ColdSampler
from worker.partitions.model_feed import ModelFeed
from worker.partitions.recovery import Recovery
from worker.partitions.snapshots import Snapshots
from worker.ports.log import Sink, Source
from worker.telemetry import Telemetry


@dataclass(slots=True)
class Collaborators:
    """Built by the composition root. `scores` is None unless `kafka.scores` is set."""

    source: Source
    assignment: Assignment
    sink: Sink
    decoder: DecodeAhead
    feed: ModelFeed
    recovery: Recovery
    snapshots: Snapshots
    sampler: ColdSampler
    alerts: AlertOutputs
    scores: ScoreOutputs | None
    dead_letters: DeadLetters
    housekeeping: Housekeeping
    telemetry: Telemetry
