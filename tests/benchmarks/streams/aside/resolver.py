"""Queries at a company's name server, by machines of five roles, over two days."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.streams.anomalies import Flat, Kind, Stream, flat_events, nested, planted
from tests.benchmarks.streams.draws import Random, arrivals, heavy, hour_of, number_of, pick, pick_given, spread

BY_HOUR = [3.0, 3, 3, 3, 3, 3, 4, 7, 10, 11, 11, 10, 9, 11, 11, 10, 9, 7, 5, 4, 4, 4, 3, 3]
ROLES = {"laptop": 70, "server": 20, "phone": 7, "printer": 2.2, "camera": 0.8}
TYPES: dict[str, dict[str, float]] = {
    "laptop": {"A": 55, "AAAA": 30, "HTTPS": 14, "TXT": 0.6, "SRV": 0.4},
    "server": {"A": 60, "AAAA": 20, "PTR": 14, "MX": 3, "TXT": 2, "NS": 1},
    "phone": {"A": 50, "AAAA": 35, "HTTPS": 15},
    "printer": {"A": 90, "PTR": 10},
    "camera": {"A": 1},
}
ZONES: dict[str, dict[str, float]] = {
    "laptop": {"com": 50, "net": 14, "de": 18, "corp": 10, "org": 5, "io": 2, "eu": 0.8, "dev": 0.2},
    "server": {"corp": 66, "com": 22, "net": 9, "arpa": 3},
    "phone": {"com": 75, "net": 20, "de": 5},
    "printer": {"corp": 100},
    "camera": {"net": 100},
}
RECORD_BYTES = {"A": 16, "AAAA": 28, "HTTPS": 60, "PTR": 40, "MX": 45, "TXT": 120, "SRV": 50, "NS": 42}


def make(rng: Random, n: int) -> Stream:
    """n events and their truth."""
    times = arrivals(rng, n, 2, BY_HOUR, "2025-04-08")
    hour = hour_of(times)
    role = pick(rng, ROLES, n)
    away = ((hour < 6) | (hour > 21)) & np.isin(role.astype(str), ("laptop", "phone")) & (rng.random(n) < 0.8)
    role[away] = "server"
    kind, zone = pick_given(rng, role, TYPES), pick_given(rng, role, ZONES)
    code = pick(rng, {"NOERROR": 94, "NXDOMAIN": 5.4, "SERVFAIL": 0.5, "REFUSED": 0.1}, n)
    found = code == "NOERROR"
    answers = np.where(found, np.minimum(1 + rng.poisson(0.9, n), 8), 0)
    name = np.clip(rng.normal(np.where(zone == "arpa", 26, 19), 5, n), 6, 60).round()
    size = 28 + name + answers * number_of(kind, RECORD_BYTES) * spread(rng, 1.0, 0.04, n)
    cached = rng.random(n) < 0.72
    protocol = np.where(size > 420, "tcp", "udp").astype(object)
    protocol[(role == "server") & (kind == "MX")] = "tcp"
    ttl = np.where(found, pick(rng, {60: 25, 300: 45, 3_600: 24, 86_400: 6}, n), 0)
    columns: dict[str, Any] = {
        "ts_ms": times,
        "host.name": [f"{r[:2]}-{h:03d}" for r, h in zip(role, rng.zipf(1.3, n) % 90, strict=True)],
        "host.role": role,
        "query.type": kind,
        "query.zone": zone,
        "query.length": name.astype(int),
        "query.repeats": (rng.random(n) < 0.04).astype(int) + (rng.random(n) < 0.006),
        "reply.code": code,
        "reply.answers": answers.astype(int),
        "reply.bytes": size.round().astype(int),
        "reply.ttl": [None if t == 0 else t for t in ttl.tolist()],
        "reply.ms": np.where(cached, spread(rng, 0.6, 0.3, n), heavy(rng, 24.0, 0.35, n)).round(2),
        "reply.cached": cached,
        "protocol": protocol,
        "recursion": np.ones(n, bool),
    }
    events = flat_events(columns)
    truth = planted(events, kinds(), rng)
    return [nested(event) for event in events], truth


def kinds() -> list[Kind]:
    """What is planted."""

    def long_name(event: Flat, _: Flat, rng: Random) -> None:
        longer = int(rng.integers(180, 240)) - event["query.length"]
        event["query.length"] += longer
        event["reply.bytes"] += longer

    def wrong_size(event: Flat, _: Flat, rng: Random) -> None:
        event["reply.bytes"] = int(rng.integers(380, 415))

    def unseen(event: Flat, _: Flat, rng: Random) -> None:
        event["query.zone"] = str(rng.choice(["onion", "top", "su"]))

    def text_query(event: Flat, _: Flat, rng: Random) -> None:
        event["query.type"] = "TXT"
        event["reply.bytes"] += 104 * event["reply.answers"]

    def outside(event: Flat, _: Flat, rng: Random) -> None:
        event["query.zone"] = "arpa"

    def repeats(event: Flat, _: Flat, rng: Random) -> None:
        event["query.repeats"] = int(rng.integers(6, 25))

    def slow(event: Flat, _: Flat, rng: Random) -> None:
        event["reply.ms"] = round(float(rng.uniform(6, 25)), 2)

    def no_recursion(event: Flat, _: Flat, rng: Random) -> None:
        event["recursion"] = False

    def device(event: Flat) -> bool:
        return event["host.role"] in ("printer", "camera", "phone")

    return [
        Kind("name far too long", long_name),
        Kind("size does not follow the answers", wrong_size, lambda e: e["reply.answers"] <= 1),
        Kind("unseen zone", unseen),
        Kind("rare type never seen with the role", text_query, device),
        Kind("zone never seen with the role", outside, lambda e: e["host.role"] in ("laptop", "phone")),
        Kind("many repeats", repeats),
        Kind("slow although cached", slow, lambda e: e["reply.cached"]),
        Kind("no recursion", no_recursion),
    ]
