"""Ten thousand and more bad records among good ones: none stops the worker, and each is one dead letter.

Usage: python -m tests.benchmarks.poison [--records 12000].
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tests.scenarios.processes import await_committed, worker
from tests.scenarios.stream import encoded, headers_of, make, normal
from tests.services.kafka import KafkaServer
from tests.services.redis import RedisServer


def bad(rng: np.random.Generator, i: int) -> bytes:
    """A bad record of one of fourteen kinds. Large ones are rare, to keep the run small."""
    good = normal(rng, i)
    size = int(rng.integers(1, 40))
    kinds: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: b"{" * size,
        lambda: json.dumps(good).encode()[:-size],
        lambda: bytes(rng.integers(0, 256, size, dtype=np.uint8)) + b"\xff",
        lambda: json.dumps({**good, "bytes": "x" * size}).encode(),
        lambda: json.dumps({**good, "duration": [size]}).encode(),
        lambda: json.dumps({**good, "proto": size}).encode(),
        lambda: json.dumps([good]).encode(),
        lambda: b"[" * 100 * size + b"]" * 100 * size,
        lambda: b'{"bytes": 1' + b"0" * (400 + size) + b"}",
        lambda: b'{"bytes": 1e%d}' % (400 + size),
        lambda: json.dumps({**good, "bytes": float("nan")}).encode(),
        lambda: json.dumps({**good, "duration": float("-inf")}).encode(),
        lambda: json.dumps({**good, "bytes": True}).encode(),
    ]
    if i % 1_000 == 0:
        return b'{"pad": "' + b"y" * 1_000_000 + b'"}'
    return kinds[i % len(kinds)]()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=12_000)
    count = parser.parse_args().records
    torch.set_num_threads(1)
    rng = np.random.default_rng(3)
    poison = [
        *(bad(rng, i) for i in range(count - 1)),
        b"z" * 1_048_400,
    ]  # the last one is just below the broker's limit
    good = encoded([normal(rng, i) for i in range(count)])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kafka, redis = KafkaServer(folder), RedisServer(folder)
        kafka.create_topic("poison.scores", 2)
        setup = make(kafka, redis.url, folder, "poison", kafka={"scores": "poison.scores"})
        setup.train()
        mixed = [value for two in zip(poison, good, strict=True) for value in two]
        # Pairs alternate between the partitions, so that both get both kinds.
        for partition in range(2):
            kafka.produce("poison", [v for i, v in enumerate(mixed) if i // 2 % 2 == partition], partition=partition)
        with worker(setup, "a", folder) as process:
            await_committed(setup, 2 * count, process, seconds=300)
            code = process.stop()
        letters = kafka.read_committed(setup.settings.kafka.dead_letters, 120)
        origins = Counter((headers_of(m)["offbeat-partition"], headers_of(m)["offbeat-offset"]) for m in letters)
        reasons = Counter(headers_of(m)["offbeat-reason"].split(":")[0].split(",")[0][:40] for m in letters)
        scored = len(kafka.read_committed("poison.scores", 120))
        unexplained = sum(not headers_of(m)["offbeat-reason"] for m in letters)
        print(f"bad {count}, dead letters {len(letters)}, of distinct records {len(origins)}, ", end="")
        print(f"without reason {unexplained}")
        print(f"good {count}, scored {scored}, exit code {code}")
        print(f"truncated {sum('offbeat-truncated' in headers_of(m) for m in letters)}")
        for reason, times in reasons.most_common():
            print(f"  {times:6} {reason}")
        redis.stop()
        kafka.stop()


if __name__ == "__main__":
    main()
