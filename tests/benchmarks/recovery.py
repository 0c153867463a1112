"""kill -9 of one of two workers, with state of many entities and input all the while: how long until the other one has
its partitions, how long alerts stand still, and how fast state is caught up.

- killed: `anywhere`, or at a point of tests/scenarios/dying.py; at `produced` alerts are in the log, in a transaction
  that nobody ends before its time-out
- live after: from the kill until the last of its partitions is live on the other worker, by that one's log
- commits follow after: from the kill until none of them is more than a second of input behind any more
- alerts stand still: the longest pause of a `read_committed` reader in any of the four partitions of the alerts topic,
  and in how many of them it was longer than a second; about 50 alerts a second come to each while nothing is wrong
- state read in: from their being assigned to the last `restored` of the log
- caught up: records replayed into state, and how fast, from there to the last `live`; beside it what the input brings
  to these partitions, and what one worker does live with much to read (second half of the fill)
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
from tests.benchmarks.pair import Pair, first_after, held, stamp
from tests.scenarios.processes import await_committed
from tests.scenarios.stream import Stream
from tests.services.kafka import KafkaServer
from tests.services.redis import RedisServer
from worker.core.state.commit_metadata import CommitMetadata

EXAMPLES = """examples:
  python -m tests.benchmarks.recovery
  python -m tests.benchmarks.recovery --entities 1000000 --at anywhere
  python -m tests.benchmarks.recovery --entities 10000 --at produced --snapshot-every 10 --rate 500  # a quick look
"""
WILD = 0.05
FILL_LEAST = 200_000
GAP_MS = 60_000.0
"""Event time between two events of an entity, whatever their number: then the model meets what it was trained on."""
_HEADER = (
    "entities", "killed", "partitions lost", "live after, s", "commits follow after, s", "state read in, s",
    "alerts stand still, s (partitions of 4)", "caught up, records", "caught up, records/s", "× input",
    "× live at full speed",
)  # fmt: skip


class Place(NamedTuple):
    """Of one partition: the log's end, what is committed, and where the newest snapshot that the commit names ends."""

    end: int
    done: int
    stored: int


class Places:
    """Asks for them without joining the group; a pending transaction is not waited for."""

    def __init__(self, made: Stream) -> None:
        self._consumer = Consumer({"bootstrap.servers": made.kafka.bootstrap, "group.id": made.settings.kafka.group,
                                   "isolation.level": "read_uncommitted"})  # fmt: skip
        self._parts = [TopicPartition(made.settings.stream, p) for p in range(PARTITIONS)]

    def now(self) -> list[Place]:
        found = []
        for part in self._consumer.committed(self._parts, 10):
            bases = CommitMetadata.decode(part.metadata).bases if part.metadata else ()
            end = self._consumer.get_watermark_offsets(part, 10)[1]
            found.append(Place(end, max(part.offset, 0), bases[-1].offset if bases else 0))
        return found


def filled(made: Stream, pair: Pair, folder: Path, entities: int) -> tuple[int, float]:
    """Each entity seen twice at least, by one worker; how many records that took, and its records per second in the
    second half.
    """
    count = max(2 * entities, FILL_LEAST)
    Flow(made, folder, count=count, entities=entities, sweep=True, step=GAP_MS / entities).done()
    process = pair.start(0)
    await_committed(made, count, process, seconds=300)
    seen = records = 0
    milliseconds = 0.0
    for batch in process.events("batch"):
        seen += batch["records"]
        if seen > count // 2:
            records, milliseconds = records + batch["records"], milliseconds + batch["milliseconds"]
    return count, 1_000 * records / milliseconds


def follow(places: Places, at: float, lost: set[int], near: float, seconds: float = 120.0) -> float:
    """Seconds from the kill until the lost partitions were last more than `near` records behind, once they are not."""
    last_late, deadline = time.time(), at + seconds
    while time.time() < last_late + 5.0:
        assert time.time() < deadline, places.now()
        if any(place.end - place.done > near for p, place in enumerate(places.now()) if p in lost):
            last_late = time.time()
        time.sleep(0.05)
    return last_late - at


def pauses(arrivals: Arrivals, since: float, until: float) -> list[float]:
    """The longest pause of each partition of the alerts topic between two moments."""
    longest = []
    for partition in range(PARTITIONS):
        times = [a.at for a in list(arrivals.read) if a.partition == partition and since <= a.at <= until]
        edges = [since, *times, until]
        longest.append(max(b - a for a, b in pairwise(edges)))
    return longest


def one(pair: Pair, places: Places, arrivals: Arrivals, point: str, live_speed: float, filled: int,
        options: argparse.Namespace) -> str:  # fmt: skip
    """One kill, when its partitions have most to catch up, from a snapshot that was taken after the fill."""
    pair.complete()
    share = options.rate / PARTITIONS
    victim, wanted = held(pair.workers[0]), 0.75 * options.snapshot_every * share
    deadline = time.monotonic() + 5 * options.snapshot_every
    while any(place.stored < filled // PARTITIONS or place.done - place.stored < wanted
              for p, place in enumerate(places.now()) if p in victim):  # fmt: skip
        assert time.monotonic() < deadline, places.now()
        time.sleep(0.1)
    at, lost = pair.kill(point)
    following = follow(places, at, lost, near=share)
    heir = pair.workers[0]
    given, restored, live = (first_after(heir, name, at, lost) for name in ("assigned", "restored", "live"))
    assert restored and live, heir.tail()
    behind = sum(event["behind"] for event in restored.values())
    last_live, last_restored = (max(map(stamp, events.values())) for events in (live, restored))
    speed = behind / max(last_live - last_restored, 1e-3)
    still = pauses(arrivals, at - 1.0, at + following + 4.0)
    cells = (f"{options.entities:,}", point, len(lost), f"{last_live - at:.1f}", f"{following:.1f}",
             f"{last_restored - min(map(stamp, given.values())):.2f}",
             f"{max(still):.1f} ({sum(pause > 1.0 for pause in still)})", f"{behind:,}", f"{speed:,.0f}",
             f"{speed / (share * len(lost)):.0f}", f"{speed / live_speed:.2f}")  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entities", type=int, default=10_000, help="a multiple of four")
    parser.add_argument("--rate", type=float, default=4_000.0, help="of the input, events per second")
    parser.add_argument("--snapshot-every", type=float, default=45.0, help="seconds")
    parser.add_argument("--at", default="anywhere,produced", help="one kill each: anywhere, or a point of dying.py")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        made = configured(
            kafka, redis.url, folder, "recovery", entities=options.entities, gap_ms=GAP_MS,
            alerts={"cooldown": 0},
            state={"snapshot_every": options.snapshot_every, "entities": 1_000_000},
        )  # fmt: skip
        pair = Pair(made, folder)
        count, live_speed = filled(made, pair, folder, options.entities)
        flow = Flow(made, folder, count=10**9, rate=options.rate, entities=options.entities, first=count,
                    step=GAP_MS / options.entities, wild=WILD)  # fmt: skip
        places, arrivals = Places(made), Arrivals(made)
        print(f"| {' | '.join(_HEADER)} |\n|{'---|' * len(_HEADER)}")
        for point in options.at.split(","):
            print(one(pair, places, arrivals, point, live_speed, count, options), flush=True)
        print(f"\nlive at full speed {live_speed:,.0f} records/s, input {options.rate:,.0f} records/s")
        flow.stop()
        arrivals.stop()
        pair.end()
        redis.stop()
        kafka.stop()


if __name__ == "__main__":
    main()
