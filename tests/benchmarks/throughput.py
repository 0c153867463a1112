"""Throughput of one exactly-once worker as a share of a tuned bare `consume()` loop.

Usage: python -m tests.benchmarks.throughput [--entities 100000]. Each pass runs the bare loop and the worker over the
same topic; the medians count. With `--entities`, two rate features look back at that many entities. `--snapshot-every`
sets `state.snapshot_every`. `--profile` makes one more pass under cProfile.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import torch
from confluent_kafka import Consumer, TopicPartition

from tests.benchmarks.load import configured, fill
from tests.scenarios.inprocess import InProcessWorker
from tests.scenarios.stream import Stream
from tests.services.kafka import KafkaServer
from tests.services.redis import RedisServer
from worker import logs


def bare(setup: Stream, records: int) -> float:
    """Records per second of a loop that discards them, tuned (`fetch.queue.backoff.ms` 10, garbage collector off)."""
    consumer = Consumer(
        {
            "bootstrap.servers": setup.kafka.bootstrap,
            "group.id": uuid.uuid4().hex,
            "fetch.queue.backoff.ms": 10,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    topic = setup.settings.stream
    consumer.assign([TopicPartition(topic, p, 0) for p in range(4)])
    seen = len(consumer.consume(1, 30))
    gc.collect()
    gc.disable()
    began = time.perf_counter()
    while seen < records:
        seen += len(consumer.consume(5_000, 0.2))
    seconds = time.perf_counter() - began
    gc.enable()
    consumer.close()
    return records / seconds


def throughput(setup: Stream, records: int, profile: cProfile.Profile | None = None, after: int = 1) -> float:
    """Records per second of the worker's turns, from the record number `after` to the last commit."""
    member = InProcessWorker(setup, uuid.uuid4().hex)
    member.turn_until(lambda: member.telemetry.records >= after)
    already = member.telemetry.records
    gc.collect()
    gc.freeze()
    gc.disable()
    if profile is not None:
        profile.enable()
    began = time.perf_counter()
    member.turn_until_committed(records)
    seconds = time.perf_counter() - began
    if profile is not None:
        profile.disable()
    gc.enable()
    gc.unfreeze()
    member.close()
    return (records - already) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--entities", type=int, default=0)
    parser.add_argument("--snapshot-every", default="5s")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logs.configure("warning", stream="bench", instance="bench")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        state = {"snapshot_every": options.snapshot_every, "entities": 1_000_000}
        setup = configured(
            kafka, redis.url, folder, "bench", entities=options.entities, gap_ms=options.entities, state=state
        )
        size = fill(kafka, "bench", options.records, options.entities)
        looking = f", two of them rates over {options.entities} entities" if options.entities else ""
        columns = len(setup.settings.features)
        print(f"{options.records} records of {size} bytes, {columns} features{looking}, four partitions")
        # The first records of an entity have no past, and raise alerts for that: measure a stream of known entities.
        after = options.records // 2 if options.entities else 1
        passes = []
        for _ in range(options.passes):
            passes.append((bare(setup, options.records), throughput(as_new_group(setup), options.records, after=after)))
            print(report(*passes[-1]), flush=True)
        print(f"medians: {report(*map(statistics.median, zip(*passes, strict=True)))}")
        if options.profile:
            profile = cProfile.Profile()
            throughput(as_new_group(setup), options.records, profile, after)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        redis.stop()
        kafka.stop()


def report(limit: float, rate: float) -> str:
    return f"bare loop {limit:9,.0f}/s   worker {rate:9,.0f}/s   share {rate / limit:.1%}"


def as_new_group(setup: Stream) -> Stream:
    """The same topic for another group, without the state that the group before has left."""
    for key in setup.client.scan_iter("*:snapshot*"):
        setup.client.delete(key)
    kafka = setup.settings.kafka.model_copy(update={"group": uuid.uuid4().hex})
    return Stream(setup.kafka, setup.path, setup.settings.model_copy(update={"kafka": kafka}), setup.client)


if __name__ == "__main__":
    main()
