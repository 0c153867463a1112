"""Recovery after kill -9 of one of two workers, with the state of many entities and a steady input.

The columns of the table:

- killed: `anywhere`, or at a point of tests/scenarios/dying.py. At `produced`, alerts are in the log, in a transaction
  that nobody ends before its timeout.
- live after: from the kill until the last of the lost partitions is live on the other worker, by its log.
- commits follow after: from the kill until no lost partition is more than a second of input behind.
- alerts stand still: the longest pause of a `read_committed` reader in any of the four partitions of the alerts topic,
  and the number of partitions with a pause of more than a second. Without a fault each has about 50 alerts a second.
- state read in: from the assignment of the lost partitions to the last `restored` in the log.
- caught up: records replayed into state, and how fast, from then to the last `live`. The speed is compared with the
  input of these partitions, and with one live worker that has much to read (in the second half of the fill).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from confluent_kafka import Consumer, TopicPartition

from tests.benchmarks.arrivals import Arrivals
from tests.benchmarks.flow import PARTITIONS, Flow
from tests.benchmarks.load import configured
from tests.benchmarks.pair import Pair, first_after, partitions_of, time_of
from tests.scenarios.processes import await_committed
from tests.scenarios.stream import Stream
from tests.services.kafka import KafkaServer
from tests.services.redis import RedisServer
from worker.core.state.commit_metadata import CommitMetadata

EXAMPLES = """examples:
  python -m tests.benchmarks.recovery
  python -m tests.benchmarks.recovery --entities 1000000 --at anywhere
  python -m tests.benchmarks.recovery --entities 10000 --at produced --snapshot-every 10 --rate 500  # quick
"""
WILD = 0.05
FILL_LEAST = 200_000
GAP_MS = 60_000.0
"""Event time between two events of an entity, however many there are, as in the model's training."""
_HEADER = (
    "entities",
    "killed",
    "partitions lost",
    "live after, s",
    "commits follow after, s",
    "state read in, s",
    "alerts stand still, s (partitions of 4)",
    "caught up, records",
    "caught up, records/s",
    "× input",
    "× live at full speed",
)


class Place(NamedTuple):
    """Offsets of one partition: the end of the log, the commit, and the newest snapshot that the commit names."""

    end: int
    done: int
    stored: int


class Places:
    """Queries the places of all partitions without joining the group, and without waiting for transactions."""

    def __init__(self, setup: Stream) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": setup.kafka.bootstrap,
                "group.id": setup.settings.kafka.group,
                "isolation.level": "read_uncommitted",
            }
        )
        self._parts = [TopicPartition(setup.settings.stream, p) for p in range(PARTITIONS)]

    def now(self) -> list[Place]:
        places = []
        for part in self._consumer.committed(self._parts, 10):
            bases = CommitMetadata.decode(part.metadata).bases if part.metadata else ()
            end = self._consumer.get_watermark_offsets(part, 10)[1]
            places.append(Place(end, max(part.offset, 0), bases[-1].offset if bases else 0))
        return places


def fill(setup: Stream, pair: Pair, folder: Path, entities: int) -> tuple[int, float]:
    """Let one worker see each entity at least twice.

    Returns the number of records, and the records per second of the second half.
    """
    count = max(2 * entities, FILL_LEAST)
    Flow(setup, folder, count=count, entities=entities, sweep=True, step=GAP_MS / entities).await_end()
    process = pair.start(0)
    await_committed(setup, count, process, seconds=300)
    seen = records = 0
    milliseconds = 0.0
    for batch in process.events("batch"):
        seen += batch["records"]
        if seen > count // 2:
            records, milliseconds = records + batch["records"], milliseconds + batch["milliseconds"]
    return count, 1_000 * records / milliseconds


def follow(places: Places, at: float, lost: set[int], near: float, seconds: float = 120.0) -> float:
    """Seconds from the kill until no lost partition is more than `near` records behind any more."""
    last_late, deadline = time.time(), at + seconds
    while time.time() < last_late + 5.0:
        assert time.time() < deadline, places.now()
        if any(place.end - place.done > near for p, place in enumerate(places.now()) if p in lost):
            last_late = time.time()
        time.sleep(0.05)
    return last_late - at


def pauses(arrivals: Arrivals, since: float, until: float) -> list[float]:
    """The longest pause in each partition of the alerts topic between two moments."""
    longest = []
    for partition in range(PARTITIONS):
        times = [a.at for a in list(arrivals.read) if a.partition == partition and since <= a.at <= until]
        edges = [since, *times, until]
        longest.append(max(b - a for a, b in pairwise(edges)))
    return longest


def measure(
    pair: Pair,
    places: Places,
    arrivals: Arrivals,
    point: str,
    live_speed: float,
    filled: int,
    options: argparse.Namespace,
) -> str:
    """Kill a worker when its partitions have most to catch up, from a snapshot that was taken after the fill."""
    pair.complete()
    share = options.rate / PARTITIONS
    victim, wanted = partitions_of(pair.workers[0]), 0.75 * options.snapshot_every * share
    deadline = time.monotonic() + 5 * options.snapshot_every
    while any(
        place.stored < filled // PARTITIONS or place.done - place.stored < wanted
        for p, place in enumerate(places.now())
        if p in victim
    ):
        assert time.monotonic() < deadline, places.now()
        time.sleep(0.1)
    at, lost = pair.kill(point)
    following = follow(places, at, lost, near=share)
    heir = pair.workers[0]
    gained, restored, live = (first_after(heir, name, at, lost) for name in ("assigned", "restored", "live"))
    assert restored and live, heir.tail()
    behind = sum(event["behind"] for event in restored.values())
    last_live, last_restored = (max(map(time_of, events.values())) for events in (live, restored))
    speed = behind / max(last_live - last_restored, 1e-3)
    still = pauses(arrivals, at - 1.0, at + following + 4.0)
    cells = (
        f"{options.entities:,}",
        point,
        len(lost),
        f"{last_live - at:.1f}",
        f"{following:.1f}",
        f"{last_restored - min(map(time_of, gained.values())):.2f}",
        f"{max(still):.1f} ({sum(pause > 1.0 for pause in still)})",
        f"{behind:,}",
        f"{speed:,.0f}",
        f"{speed / (share * len(lost)):.0f}",
        f"{speed / live_speed:.2f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entities", type=int, default=10_000, help="a multiple of four")
    parser.add_argument("--rate", type=float, default=4_000.0, help="events per second of the input")
    parser.add_argument("--snapshot-every", type=float, default=45.0, help="seconds")
    parser.add_argument("--at", default="anywhere,produced", help="one kill each: anywhere, or a point of dying.py")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        setup = configured(
            kafka,
            redis.url,
            folder,
            "recovery",
            entities=options.entities,
            gap_ms=GAP_MS,
            alerts={"cooldown": 0},
            state={"snapshot_every": options.snapshot_every, "entities": 1_000_000},
        )
        pair = Pair(setup, folder)
        count, live_speed = fill(setup, pair, folder, options.entities)
        flow = Flow(
            setup,
            folder,
            count=10**9,
            rate=options.rate,
            entities=options.entities,
            first=count,
            step=GAP_MS / options.entities,
            wild=WILD,
        )
        places, arrivals = Places(setup), Arrivals(setup)
        print(f"| {' | '.join(_HEADER)} |\n|{'---|' * len(_HEADER)}")
        for point in options.at.split(","):
            print(measure(pair, places, arrivals, point, live_speed, count, options), flush=True)
        print(f"\nlive at full speed {live_speed:,.0f} records/s, input {options.rate:,.0f} records/s")
        flow.stop()
        arrivals.stop()
        pair.end()
        redis.stop()
        kafka.stop()


if __name__ == "__main__":
    main()
