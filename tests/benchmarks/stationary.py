"""Is `alert_rate` met? Measures the share flagged per 50,000 events of a stationary stream while fine-tuning goes on.

Usage: python -m tests.benchmarks.stationary [--events 500000] [--rate 0.002]. Kafka, worker and trainer are real.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from confluent_kafka import Consumer, TopicPartition

from tests.benchmarks.load import configured, values
from tests.scenarios.processes import WorkerProcess, committed
from tests.services.kafka import KafkaServer
from tests.services.redis import RedisServer

BLOCK = 5_000
PER = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rate", type=float, default=0.002)
    parser.add_argument("--pace", type=float, default=4_000.0, help="events per second")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        kafka.create_topic("even.scores", 4)
        made = configured(
            kafka,
            redis.url,
            folder,
            "even",
            kafka={"bootstrap_servers": kafka.bootstrap, "scores": "even.scores"},
            threshold={"alert_rate": options.rate},
            fine_tune={"every": 15, "events": 20_000, "at_most_every": 5},
            state={"snapshot_every": 1},
        )
        process = WorkerProcess(made, "a", folder, trainer=True)
        process.wait_for("first_start", 4)
        produced, began = 0, time.monotonic()
        while produced < options.events:
            kafka.produce("even", values(BLOCK, seed=1_000 + produced))
            produced += BLOCK
            time.sleep(max(0.0, began + produced / options.pace - time.monotonic()))
            while committed(made) < produced - 4 * BLOCK:
                assert process.process.poll() is None, process.tail()
        while committed(made) < options.events:
            assert process.process.poll() is None, process.tail()
        fine_tunes, rejected = len(process.events("fine_tune")), len(process.events("challenger_rejected"))
        moved = len(process.events("threshold_moved"))
        process.stop()
        if not fine_tunes:
            print(process.tail())
        flagged = _flagged(kafka, options.events)
        for start in range(0, options.events, PER):
            print(f"{start:7}..{start + PER:7}: {flagged[start : start + PER].mean():.5f}")
        print(
            f"whole: {flagged.mean():.5f}, target {options.rate}; "
            f"fine-tunes {fine_tunes}, rejected {rejected}, threshold steps {moved}"
        )
        redis.stop()
        kafka.stop()


def _flagged(kafka: KafkaServer, count: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(count,) bool in the order of production: records go round robin over the four partitions."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "even-reader", "fetch.queue.backoff.ms": 10})
    consumer.assign([TopicPartition("even.scores", p, 0) for p in range(4)])
    flagged = np.zeros(count, np.bool_)
    seen = 0
    while seen < count:
        for message in consumer.consume(10_000, 5.0):
            if message.error() is None:
                plain = json.loads(message.value() or b"")
                flagged[4 * plain["offset"] + plain["partition"]] = plain["verdict"] == "ANOMALOUS"
                seen += 1
    consumer.close()
    return flagged


if __name__ == "__main__":
    main()
