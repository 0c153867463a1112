"""A producer in a process of its own: the benchmark's events at a steady rate, or as fast as possible.

Usage: python -m tests.benchmarks.flow BOOTSTRAP TOPIC --count 50000 --rate 2000. Each event carries the time at which
it was passed to the client (`sent`, wall clock in µs). A share of the events are wild, which means known anomalies.
They go round robin to four partitions.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from confluent_kafka import Producer

from tests.benchmarks.load import START_MS, table
from tests.scenarios.stream import Stream
from tests.services.process import spawn

PARTITIONS = 4
BLOCK = 20_000
_AT_ONCE = 1_000
_TICK_S = 0.001
_WILD = {"wild": True, "packets": 900.0, "rtt": -900.0, "retries": 900.0}


class Flow:
    """That process, for use by the benchmarks; it ends with them."""

    def __init__(
        self,
        setup: Stream,
        folder: Path,
        *,
        count: int,
        rate: float = 0.0,
        entities: int = 1_000,
        sweep: bool = False,
        first: int = 0,
        step: float = 1.0,
        wild: float = 0.0,
        linger: float = 1.0,
    ) -> None:
        """With `sweep`, entities take turns instead of being drawn. `first` is the number of events produced before,
        and `step` the event time between two events, in ms.
        """
        self._log = folder / f"flow-{time.monotonic_ns()}.log"
        wanted = {
            "count": count,
            "rate": rate,
            "entities": entities,
            "first": first,
            "step": step,
            "wild": wild,
            "linger": linger,
        }
        command = [sys.executable, "-m", "tests.benchmarks.flow", setup.kafka.bootstrap, setup.settings.stream]
        command += [f"--{name}={value}" for name, value in wanted.items()] + ["--sweep"] * sweep
        self.process = spawn(command, self._log)

    @property
    def flowing(self) -> bool:
        return self.process.poll() is None

    def await_end(self) -> tuple[float, int]:
        """Wait for its end; returns records sent per second, and how many were wild."""
        assert self.process.wait() == 0, self._log.read_text()
        report = json.loads(self._log.read_text().splitlines()[-1])
        return report["rate"], report["wild"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def tails(seed: int, *, wild: bool) -> list[bytes]:
    """The rest of each event of a block, after its entity and times."""
    columns = table(BLOCK, seed)
    rows = zip(*columns.values(), strict=True)
    extra = _WILD if wild else {}
    return [json.dumps({**dict(zip(columns, row, strict=True)), **extra})[1:].encode() for row in rows]


def draw_entities(first: int, entities: int, *, sweep: bool) -> list[int]:
    """The entities of one block. Each belongs to the partition that its number determines."""
    order = np.arange(first, first + BLOCK)
    hosts = PARTITIONS * np.random.default_rng(first).integers(0, entities // PARTITIONS, BLOCK) + order % PARTITIONS
    chosen: list[int] = (order % entities if sweep else hosts).tolist()
    return chosen


def flow(options: argparse.Namespace) -> tuple[float, int]:
    """Produce; returns records per second, and how many were wild."""
    # An idempotent producer has at most five requests in flight. Without that bound, a busy broker gets ever more
    # requests of one record each, and their waiting time would count as the worker's latency.
    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "enable.idempotence": True,
            "linger.ms": options.linger,
            "queue.buffering.max.messages": 200_000,
        }
    )
    producer.list_topics(options.topic, timeout=10)
    plain, wild = tails(1, wild=False), tails(2, wild=True)
    rng = np.random.default_rng(options.first)
    sent = wild_sent = 0
    hosts: list[int] = []
    began = time.monotonic()
    while sent < options.count:
        due = min(int((time.monotonic() - began) * options.rate) if options.rate else sent + _AT_ONCE, options.count)
        odd = rng.random(due - sent) < options.wild
        for i, is_wild in zip(range(sent, due), odd.tolist(), strict=True):
            if i % BLOCK == 0:
                hosts = draw_entities(options.first + i, options.entities, sweep=options.sweep)
            tail = (wild if is_wild else plain)[i % BLOCK]
            head = (hosts[i % BLOCK], START_MS + int((options.first + i) * options.step), time.time_ns() // 1_000)
            put(producer, options.topic, b'{"host": "host-%07d", "ts": %d, "sent": %d, ' % head + tail, i % PARTITIONS)
        sent, wild_sent = due, wild_sent + int(odd.sum())
        producer.poll(0)
        if options.rate:
            time.sleep(_TICK_S)
    rate = sent / (time.monotonic() - began)
    assert producer.flush(60) == 0
    return rate, wild_sent


def put(producer: Producer, topic: str, value: bytes, partition: int) -> None:
    while True:
        try:
            producer.produce(topic, value, partition=partition)
            return
        except BufferError:
            producer.poll(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="events per second; 0: as fast as possible")
    parser.add_argument("--entities", type=int, default=1_000, help="a multiple of four")
    parser.add_argument("--sweep", action="store_true", help="entities take turns instead of being drawn")
    parser.add_argument("--first", type=int, default=0, help="events produced before; times continue from there")
    parser.add_argument("--step", type=float, default=1.0, help="event time between two events, in ms")
    parser.add_argument("--wild", type=float, default=0.0, help="share of known anomalies")
    parser.add_argument("--linger", type=float, default=1.0, help="ms")
    rate, wild = flow(parser.parse_args())
    print(json.dumps({"rate": rate, "wild": wild}))


if __name__ == "__main__":
    main()
