"""Latency from produce to the readable alert: p50 and p99 at several rates. Worker and producer are processes.

It begins when the producer passes an event to its client, which is written into the event, and ends when a
`read_committed` reader of the alerts topic has the alert. Known anomalies come at a steady rate. `alert_rate` lets as
many normal events raise alerts, and these count too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.arrivals import Arrivals
from tests.benchmarks.flow import PARTITIONS, Flow
from tests.benchmarks.load import configured
from tests.scenarios.processes import await_committed, worker
from tests.services.kafka import KafkaServer
from tests.services.redis import RedisServer

EXAMPLES = """examples:
  python -m tests.benchmarks.latency
  python -m tests.benchmarks.latency --trainer          # beside one fine-tune after the other
  python -m tests.benchmarks.latency --linger 200       # a check: 200 ms of the producer's client must show
"""
WILD_PER_S = 10.0
FIRST = 20_000
"""Events before the measured ones. They trigger compilation, and give a trainer something to learn from."""


def measure(kafka: KafkaServer, redis: RedisServer, folder: Path, rate: float, options: argparse.Namespace) -> str:
    share = WILD_PER_S / rate
    setup = configured(
        kafka,
        redis.url,
        folder,
        f"at-{rate:.0f}",
        alerts={"cooldown": 0},
        threshold={"alert_rate": 2 * share},
        fine_tune={"every": 1, "events": 1, "at_most_every": 0},
    )
    with worker(setup, "a", folder, trainer=options.trainer) as process:
        process.wait_for("first_start", PARTITIONS)
        Flow(setup, folder, count=FIRST, wild=share).await_end()
        await_committed(setup, FIRST, process)
        if options.trainer:
            process.wait_for("fine_tune", 2)
        arrivals = Arrivals(setup)
        arrivals.await_quiet()
        began, tuned = time.time(), len(process.events("fine_tune"))
        count = int(rate * options.seconds)
        sent, wild = Flow(
            setup, folder, count=count, rate=rate, first=FIRST, wild=share, linger=options.linger
        ).await_end()
        arrivals.await_quiet()
        arrivals.stop()
        tuned = len(process.events("fine_tune")) - tuned
        await_committed(setup, FIRST + count, process)
        process.stop()
    read = [arrival for arrival in arrivals.read if arrival.sent >= began]
    p50, p99, most = np.quantile([1_000 * (arrival.at - arrival.sent) for arrival in read], (0.5, 0.99, 1.0))
    caught = sum(arrival.wild for arrival in read)
    cells = (f"{sent:,.0f}", f"{p50:.0f}", f"{p99:.0f}", f"{most:.0f}", len(read), f"{caught} of {wild}", tuned)
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rates", default="100,1000,10000", help="events per second")
    parser.add_argument("--seconds", type=float, default=40.0, help="duration at each rate")
    parser.add_argument("--linger", type=float, default=1.0, help="linger of the producer's client, in ms")
    parser.add_argument("--trainer", action="store_true", help="run a trainer that fine-tunes without a pause")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        print("| events/s | p50, ms | p99, ms | most, ms | alerts | known anomalies found | fine-tunes meanwhile |")
        print("|---|---|---|---|---|---|---|")
        for rate in map(float, options.rates.split(",")):
            print(measure(kafka, redis, folder, rate, options), flush=True)
        redis.stop()
        kafka.stop()


if __name__ == "__main__":
    main()
