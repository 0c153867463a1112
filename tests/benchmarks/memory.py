"""Memory after so many and after ten times so many events in one worker process, and what Redis holds a partition.

Read once everything is committed and the worker has been idle for longer than a snapshot takes to come: resident memory
and its peak as the kernel tells them, the bytes of all kept snapshots as Redis tells them (MEMORY USAGE of index,
manifests and chunks), and the size of the newest one by itself. Snapshots are on, every five seconds.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from pathlib import Path
from typing import cast

import torch

from tests.benchmarks.flow import PARTITIONS, Flow
from tests.benchmarks.load import configured
from tests.scenarios.processes import await_committed, worker
from tests.scenarios.stream import Stream
from tests.services.kafka import KafkaServer
from tests.services.redis import RedisServer
from worker.adapters.redis_keys import Keys
from worker.core.state.snapshot import Snapshot

EXAMPLES = """examples:
  python -m tests.benchmarks.memory
  python -m tests.benchmarks.memory --entities 100000 --events 1000000,5000000
"""
SNAPSHOT_EVERY_S = 5.0
GAP_MS = 60_000.0
"""Event time between two events of an entity."""
_MB = 1e6


def of_process(pid: int) -> tuple[float, float]:
    """Resident memory and its peak, in bytes."""
    found = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()))
    return 1_024.0 * int(found["VmRSS"]), 1_024.0 * int(found["VmHWM"])


def in_redis(made: Stream) -> tuple[float, float]:
    """Bytes a partition, on average: of everything kept, and of the newest snapshot."""
    client, topic, keys = made.client, made.settings.stream, Keys(made.settings.stream)
    kept = newest = 0
    for partition in range(PARTITIONS):
        manifests = list(client.scan_iter(keys.snapshot(topic, partition, "*")))
        chunks = client.scan_iter(keys.chunk(topic, partition, "*"), count=1_000)
        found = [keys.snapshots(topic, partition), *manifests, *chunks]
        kept += sum(cast(int, client.memory_usage(key, samples=0)) for key in found)
        snapshots = map(Snapshot.from_manifest, cast(list[bytes], client.mget(manifests)))
        newest += sum(chunk.size for chunk in max(snapshots, key=lambda one: one.offset).chunks)
    return kept / PARTITIONS, newest / PARTITIONS


def run(made: Stream, folder: Path, marks: list[int], entities: int) -> None:
    """One worker process; one line of the table at each mark."""
    produced = 0
    with worker(made, "a", folder) as process:
        process.wait_for("first_start", PARTITIONS)
        for mark in marks:
            began = time.monotonic()
            step = GAP_MS / entities if entities else 1.0
            Flow(made, folder, count=mark - produced, first=produced, entities=entities or 1_000, step=step).done()
            produced = mark
            await_committed(made, mark, process, seconds=900)
            seconds = time.monotonic() - began
            time.sleep(2 * SNAPSHOT_EVERY_S)
            resident, peak = of_process(process.process.pid)
            kept, newest = in_redis(made)
            cells = (f"{entities:,}" if entities else "none", f"{mark:,}", f"{resident / _MB:.0f}", f"{peak / _MB:.0f}",
                     f"{kept / _MB:.2f}", f"{newest / _MB:.2f}", f"{seconds:.0f}")  # fmt: skip
            print(f"| {' | '.join(cells)} |", flush=True)
        process.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", default="1000000,10000000", help="after how many, rising")
    parser.add_argument("--entities", type=int, default=0, help="that two rates look back at; 0: no such features")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        state = {"snapshot_every": SNAPSHOT_EVERY_S}
        made = configured(
            kafka, redis.url, folder, "memory", entities=options.entities, gap_ms=GAP_MS, state=state
        )  # fmt: skip
        print("| entities looked back at | events | resident, MB | its peak, MB | Redis a partition, MB "
              "| newest snapshot a partition, MB | seconds |\n|---|---|---|---|---|---|---|")  # fmt: skip
        run(made, folder, [int(mark) for mark in options.events.split(",")], options.entities)
        redis.stop()
        kafka.stop()


if __name__ == "__main__":
    main()
