"""Faults on real services: three Kafka nodes, Redis, a producer that never stops, and replicas of the worker.

    python -m tests.chaos --faults 12          # each kind once, in the order of the seed
    python -m tests.chaos --seed 7 --faults 48
    python -m tests.chaos --protocol consumer  # Kafka's new group protocol, KIP-848
    python -m tests.chaos --only "kill -9: committed" --faults 3

The results are compared with those of an undisturbed run over the same log: alerts by id and content, how often each
is there, dead letters, and the state of each partition.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml

from tests.chaos.faults import FAULTS, Scene
from tests.chaos.inflow import Inflow
from tests.chaos.pool import Pool
from tests.chaos.proxy import Proxy
from tests.chaos.verdict import Verdict, compare
from tests.chaos.watch import Watch
from tests.scenarios.processes import worker
from tests.scenarios.stream import Stream, make
from tests.services.nodes import KafkaNodes
from tests.services.process import free_port
from tests.services.redis import RedisServer
from worker.config.load import load

PARTITIONS, REPLICAS, RATE = 4, 3, 300


def run(
    seed: int, names: list[str], folder: Path, protocol: str = "classic"
) -> tuple[Verdict, dict[str, list[float]], list[str]]:
    """The verdict, the seconds blind by fault, and what went wrong with processes."""
    kafka, redis = KafkaNodes(folder), RedisServer(folder / "redis", kept=True)
    redis_door = free_port()
    proxy = Proxy({**dict(zip(kafka.doors, kafka.behind, strict=True)), redis_door: redis.port})
    stream = make(
        kafka,
        redis.url,
        folder,
        "chaos",
        partitions=PARTITIONS,
        event={"time": "ts", "entity": "host"},
        kafka={"properties": {"group.protocol": protocol}},
    )
    stream.train()
    doors = ",".join(f"127.0.0.1:{port}" for port in kafka.doors)
    ways = [_through_proxy(stream, folder, doors, f"redis://127.0.0.1:{redis_door}/0"), *[stream] * (REPLICAS - 1)]
    inflow = Inflow(kafka.bootstrap, "chaos", PARTITIONS, seed, RATE)
    pool = Pool(ways, folder, 2)
    watch = Watch(kafka.bootstrap, stream.settings.kafka.group, "chaos", inflow)
    scene = Scene(kafka, redis, proxy, stream, pool, inflow, watch, random.Random(seed))
    blind: dict[str, list[float]] = {}
    try:
        inflow.resume()
        pool.await_live()
        watch.await_calm(time.monotonic(), pool.restart_fallen)
        for number, name in enumerate(names, 1):
            began = FAULTS[name](scene)
            watch.await_calm(time.monotonic(), pool.restart_fallen)
            blind.setdefault(name, []).append(watch.blind(began))
            print(f"{number}/{len(names)} {name}: blind {blind[name][-1]:.1f} s", file=sys.stderr, flush=True)
        ends = inflow.pause()
        watch.await_all(ends)
        pool.stop(*pool.running)
        reference = make(
            kafka,
            redis.url,
            folder,
            "chaos-reference",
            partitions=PARTITIONS,
            event={"time": "ts", "entity": "host"},
            kafka={"events": ["chaos"]},
        )
        reference.train()
        with worker(reference, "reference", folder) as undisturbed:
            calm = Watch(kafka.bootstrap, reference.settings.kafka.group, "chaos", inflow)
            calm.await_all(ends)
            calm.stop()
            assert undisturbed.stop() == 0
        return compare(stream, reference, scene.rewound), blind, pool.surprises
    finally:
        pool.end()
        watch.stop()
        inflow.stop()
        proxy.stop()
        redis.kill9()
        kafka.stop()


def _through_proxy(stream: Stream, folder: Path, bootstrap: str, redis_url: str) -> Stream:
    """The same configuration, but with its connections through the proxy."""
    plain = yaml.safe_load(stream.path.read_text())
    plain["kafka"]["bootstrap_servers"], plain["redis"]["url"] = bootstrap, redis_url
    path = folder / "through.yaml"
    path.write_text(yaml.safe_dump(plain))
    return Stream(stream.kafka, path, load(path, {}), stream.client)


def table(blind: dict[str, list[float]]) -> str:
    lines = ["| fault | injected | seconds blind, median | most |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {len(seconds)} | {statistics.median(seconds):.1f} | {max(seconds):.1f} |"
        for name, seconds in sorted(blind.items())
    ]
    return "\n".join([*lines, f"| all | {sum(map(len, blind.values()))} | | |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=int, default=48)
    parser.add_argument("--only", choices=FAULTS, action="append", help="inject only these kinds")
    parser.add_argument("--protocol", choices=["classic", "consumer"], default="classic")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, kinds = random.Random(options.seed), options.only or list(FAULTS)
    names: list[str] = []
    while len(names) < options.faults:
        names += rng.sample(kinds, len(kinds))
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{options.seed}-"))
    verdict, blind, surprises = run(options.seed, names[: options.faults], folder, options.protocol)
    print(table(blind), *surprises, verdict, sep="\n")
    if verdict.good and not surprises:
        shutil.rmtree(folder)
        return
    print(f"run it again: python -m tests.chaos --seed {options.seed} --faults {options.faults}; logs in {folder}")
    sys.exit(1)


if __name__ == "__main__":
    main()
