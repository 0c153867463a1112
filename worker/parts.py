"""What the loop works with."""

from __future__ import annotations

from dataclasses import dataclass

from worker.deadletters import DeadLetters
from worker.decoding import DecodingAhead
from worker.housekeeping import Housekeeping
from worker.lane import Lanes
from worker.publishing import Publisher
from worker.recovery import Recovery
from worker.sampling import ColdSampler
from worker.snapshots import Snapshots
from worker.streams import Sink, Source
from worker.telemetry import Telemetry
from worker.versions import VersionFeed


@dataclass(slots=True)
class Parts:
    """What the composition root puts together."""

    source: Source
    lanes: Lanes
    sink: Sink
    decoder: DecodingAhead
    feed: VersionFeed
    recovery: Recovery
    snapshots: Snapshots
    sampler: ColdSampler
    publisher: Publisher
    dead_letters: DeadLetters
    housekeeping: Housekeeping
    telemetry: Telemetry
