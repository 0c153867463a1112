"""From produce to the alert being readable: p50 and p99 at several rates, the worker and its producer as processes.

From the wall clock that the producer writes into an event just before it hands it to its client, to the moment that a
`read_committed` reader of the alerts topic has the alert about it. Known anomalies come all the while; `alert_rate`
lets as many normal events alert, and these count too.
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
  python -m tests.benchmarks.latency --trainer          # a fine-tune after the other beside it
  python -m tests.benchmarks.latency --linger 200       # a check: the producer's client waits 200 ms, and it shows
"""
WILD_PER_S = 10.0
FIRST = 20_000
"""Events before the measured ones: they compile what is compiled, and give a trainer something to learn from."""


def one(kafka: KafkaServer, redis: RedisServer, folder: Path, rate: float, options: argparse.Namespace) -> str:
    share = WILD_PER_S / rate
    made = configured(
        kafka, redis.url, folder, f"at-{rate:.0f}",
        alerts={"cooldown": 0},
        threshold={"alert_rate": 2 * share},
        fine_tune={"every": 1, "events": 1, "at_most_every": 0},
    )  # fmt: skip
    with worker(made, "a", folder, trainer=options.trainer) as process:
        process.wait_for("first_start", PARTITIONS)
        Flow(made, folder, count=FIRST, wild=share).done()
        await_committed(made, FIRST, process)
        if options.trainer:
            process.wait_for("fine_tune", 2)
        arrivals = Arrivals(made)
        arrivals.quiet()
        began, tuned = time.time(), len(process.events("fine_tune"))
        count = int(rate * options.seconds)
        sent, wild = Flow(made, folder, count=count, rate=rate, first=FIRST, wild=share, linger=options.linger).done()
        arrivals.quiet()
        arrivals.stop()
        tuned = len(process.events("fine_tune")) - tuned
        await_committed(made, FIRST + count, process)
        process.stop()
    read = [arrival for arrival in arrivals.read if arrival.sent >= began]
    p50, p99, most = np.quantile([1_000 * (arrival.at - arrival.sent) for arrival in read], (0.5, 0.99, 1.0))
    found = sum(arrival.wild for arrival in read)
    cells = (f"{sent:,.0f}", f"{p50:.0f}", f"{p99:.0f}", f"{most:.0f}", len(read), f"{found} of {wild}", tuned)
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rates", default="100,1000,10000", help="events per second")
    parser.add_argument("--seconds", type=float, default=40.0, help="at each rate")
    parser.add_argument("--linger", type=float, default=1.0, help="of the producer's client, in ms")
    parser.add_argument("--trainer", action="store_true", help="fine-tunes one after the other beside it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        print("| events/s | p50, ms | p99, ms | most, ms | alerts | known anomalies found | fine-tunes meanwhile |")
        print("|---|---|---|---|---|---|---|")
        for rate in map(float, options.rates.split(",")):
            print(one(kafka, redis, folder, rate, options), flush=True)
        redis.stop()
        kafka.stop()


if __name__ == "__main__":
    main()
