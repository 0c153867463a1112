"""Memory of one worker process after n and after ten times n events, and the size of its snapshots in Redis.

It is read once everything is committed and the worker has been idle for longer than the snapshot interval: resident
memory and its peak as reported by the kernel, the bytes of all kept snapshots as reported by Redis (MEMORY USAGE of
index, manifests and chunks), and the size of the newest snapshot. Snapshots are taken every five seconds.
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


def memory_of(pid: int) -> tuple[float, float]:
    """Resident memory and its peak, in bytes."""
    status = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()))
    return 1_024.0 * int(status["VmRSS"]), 1_024.0 * int(status["VmHWM"])


def snapshot_bytes(setup: Stream) -> tuple[float, float]:
    """Mean bytes per partition: of all kept snapshots, and of the newest one."""
    client, topic, keys = setup.client, setup.settings.stream, Keys(setup.settings.stream)
    kept = newest = 0
    for partition in range(PARTITIONS):
        manifests = list(client.scan_iter(keys.snapshot(topic, partition, "*")))
        chunks = client.scan_iter(keys.chunk(topic, partition, "*"), count=1_000)
        stored = [keys.snapshots(topic, partition), *manifests, *chunks]
        kept += sum(cast(int, client.memory_usage(key, samples=0)) for key in stored)
        snapshots = map(Snapshot.from_manifest, cast(list[bytes], client.mget(manifests)))
        newest += sum(chunk.size for chunk in max(snapshots, key=lambda snapshot: snapshot.offset).chunks)
    return kept / PARTITIONS, newest / PARTITIONS


def run(setup: Stream, folder: Path, marks: list[int], entities: int) -> None:
    """Run one worker process, and print a line of the table at each mark."""
    produced = 0
    with worker(setup, "a", folder) as process:
        process.wait_for("first_start", PARTITIONS)
        for mark in marks:
            began = time.monotonic()
            step = GAP_MS / entities if entities else 1.0
            Flow(
                setup, folder, count=mark - produced, first=produced, entities=entities or 1_000, step=step
            ).await_end()
            produced = mark
            await_committed(setup, mark, process, seconds=900)
            seconds = time.monotonic() - began
            time.sleep(2 * SNAPSHOT_EVERY_S)
            resident, peak = memory_of(process.process.pid)
            kept, newest = snapshot_bytes(setup)
            cells = (
                f"{entities:,}" if entities else "none",
                f"{mark:,}",
                f"{resident / _MB:.0f}",
                f"{peak / _MB:.0f}",
                f"{kept / _MB:.2f}",
                f"{newest / _MB:.2f}",
                f"{seconds:.0f}",
            )
            print(f"| {' | '.join(cells)} |", flush=True)
        process.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", default="1000000,10000000", help="marks at which memory is read, ascending")
    parser.add_argument(
        "--entities", type=int, default=0, help="number of entities that two rates look back at; 0: no such features"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        state = {"snapshot_every": SNAPSHOT_EVERY_S}
        setup = configured(kafka, redis.url, folder, "memory", entities=options.entities, gap_ms=GAP_MS, state=state)
        print(
            "| entities looked back at | events | resident, MB | its peak, MB | Redis per partition, MB "
            "| newest snapshot per partition, MB | seconds |\n|---|---|---|---|---|---|---|"
        )
        run(setup, folder, [int(mark) for mark in options.events.split(",")], options.entities)
        redis.stop()
        kafka.stop()


if __name__ == "__main__":
    main()
