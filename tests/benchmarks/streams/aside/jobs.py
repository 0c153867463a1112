"""Runs of batch jobs on three clusters, each job at its own time of day, over seven days."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.streams.anomalies import Flat, Kind, Stream, flat_events, nested, planted
from tests.benchmarks.streams.draws import Random, arrivals, heavy, hour_of, pick, pick_given, spread, with_holes

BY_HOUR = [9.0, 12, 14, 12, 8, 5, 3, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 3, 3, 3, 4, 6]
JOBS = 28
CLUSTERS: dict[str, dict[str, float]] = {
    "nightly": {"north": 60, "south": 40},
    "hourly": {"north": 30, "south": 30, "edge": 40},
    "adhoc": {"south": 97, "edge": 3},
}
QUEUES: dict[str, dict[str, float]] = {
    "nightly north": {"bulk": 90, "fast": 10},
    "nightly south": {"bulk": 100},
    "hourly north": {"fast": 100},
    "hourly south": {"fast": 50, "bulk": 50},
    "hourly edge": {"fast": 92, "bulk": 8},
    "adhoc south": {"fast": 80, "bulk": 20},
    "adhoc edge": {"bulk": 100},
}
EXITS: dict[str, dict[int, float]] = {
    "nightly": {0: 98.6, 1: 1.4},
    "hourly": {0: 99.3, 1: 0.6, 143: 0.1},
    "adhoc": {0: 86, 1: 10, 2: 3, 137: 1},
}


def make(rng: Random, n: int) -> Stream:
    """n events and their truth."""
    times = arrivals(rng, n, 7, BY_HOUR, "2025-07-07")
    hour = hour_of(times)
    night, office = (hour < 5) | (hour >= 23), (hour >= 7) & (hour < 20)
    by_time = np.where(
        night, pick(rng, {"nightly": 75, "hourly": 25}, n), pick(rng, {"hourly": 65, "adhoc": 35}, n)
    ).astype(object)
    by_time[~night & ~office] = "hourly"
    group = by_time
    number = rng.integers(0, JOBS, n)
    cluster = pick_given(rng, group, CLUSTERS)
    queue = pick_given(rng, np.array([f"{g} {c}" for g, c in zip(group, cluster, strict=True)], object), QUEUES)
    size = np.exp(rng.normal(2.0, 1.3, JOBS))[number] * np.where(group == "nightly", 20.0, 1.0)
    gigabytes = heavy(rng, size * (1 + 0.3 * np.arange(n) / n), 0.3, n)  # the data grow slowly
    speed = np.where(cluster == "edge", 0.4, 1.0) * np.exp(rng.normal(0, 0.5, JOBS))[number]
    seconds = 8 + 6 * gigabytes / speed * spread(rng, 1.0, 0.12, n)
    cores = np.array([2, 4, 8, 16])[(number + (group == "nightly")) % 4]
    memory = cores * np.where(queue == "bulk", 8.0, 4.0) * rng.beta(9, 4, n)
    columns: dict[str, Any] = {
        "run": [f"r{rng.integers(1 << 40):010x}" for _ in range(n)],
        "started": (times // 1000).astype(int),
        "job.name": [f"{g}-{j:02d}" for g, j in zip(group, number, strict=True)],
        "job.group": group,
        "job.image": pick(rng, {"etl:5.1": 70, "etl:5.0": 22, "py:3.11": 7, "legacy:1": 0.6}, n),
        "placed.cluster": cluster,
        "placed.queue": queue,
        "placed.spot": (cluster != "north") & (rng.random(n) < 0.5),
        "placed.waited_s": with_holes(rng, heavy(rng, np.where(queue == "fast", 2.0, 45.0), 0.5, n).round(1), 0.04),
        "used.cores": cores,
        "used.memory_gb": memory.round(2),
        "used.read_gb": gigabytes.round(3),
        "used.seconds": seconds.round(1),
        "used.core_hours": (seconds * cores * rng.beta(60, 12, n) / 3_600).round(4),
        "exit": pick_given(rng, group, EXITS),
        "restarts": pick(rng, {0: 96.5, 1: 3, 2: 0.5}, n),
        "encrypted": group != "adhoc",
    }
    events = flat_events(columns)
    truth = planted(events, kinds(), rng)
    return [nested(event) for event in events], truth


def kinds() -> list[Kind]:
    """What is planted."""

    def hour(event: Flat) -> int:
        return int(event["started"] // 3_600 % 24)

    def hangs(event: Flat, _: Flat, rng: Random) -> None:
        factor = float(rng.uniform(12, 25))
        event["used.seconds"] = round(event["used.seconds"] * factor, 1)
        event["used.core_hours"] = round(event["used.core_hours"] * factor, 4)

    def by_day(event: Flat, other: Flat, rng: Random) -> None:
        event.update({field: value for field, value in other.items() if field not in ("run", "started")})

    def killed(event: Flat, _: Flat, rng: Random) -> None:
        event["exit"] = 137

    def restarts(event: Flat, _: Flat, rng: Random) -> None:
        event["restarts"] = int(rng.integers(7, 20))

    def queue(event: Flat, _: Flat, rng: Random) -> None:
        event["placed.queue"] = "bulk"

    def unseen(event: Flat, _: Flat, rng: Random) -> None:
        event["job.image"] = str(rng.choice(["miner:latest", "tmp:dev"]))

    def memory(event: Flat, _: Flat, rng: Random) -> None:
        event["used.memory_gb"] = round(event["used.cores"] * float(rng.uniform(14, 20)), 2)

    def burns(event: Flat, _: Flat, rng: Random) -> None:
        event["used.core_hours"] = round(float(rng.uniform(3e4, 1e5)), 1)

    def plain(event: Flat, _: Flat, rng: Random) -> None:
        event["encrypted"] = False

    def hourly_north(event: Flat) -> bool:
        return bool(event["job.group"] == "hourly" and event["placed.cluster"] == "north")

    return [
        Kind("time does not follow what is read", hangs),
        Kind("nightly job by day", by_day, lambda e: 8 <= hour(e) < 20, lambda e: e["job.group"] == "nightly"),
        Kind("exit code never seen in the group", killed, lambda e: e["job.group"] == "nightly"),
        Kind("many restarts", restarts),
        Kind("group, cluster and queue never seen together", queue, hourly_north),
        Kind("unseen image", unseen),
        Kind("memory moderately out", memory),
        Kind("core hours far out", burns),
        Kind("not encrypted", plain, lambda e: e["job.group"] != "adhoc"),
    ]
