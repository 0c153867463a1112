"""Parcels that leave depots with carriers, over six days: which carrier serves what where, at which price."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.streams.anomalies import Flat, Kind, Stream, flat_events, nested, planted
from tests.benchmarks.streams.draws import (
    Random,
    arrivals,
    heavy,
    hour_of,
    number_of,
    pick,
    pick_given,
    spread,
    with_holes,
)

BY_HOUR = [0, 0, 0, 0, 0.2, 2, 6, 9, 10, 10, 9, 8, 6, 8, 9, 9, 8, 6, 4, 2, 0.5, 0.1, 0, 0]
DEPOTS = {"HAM": 26, "BER": 20, "MUC": 18, "CGN": 16, "LEJ": 12, "STR": 7, "KEL": 1}
ZONES = {"DE": 62, "EU": 24, "US": 9, "ASIA": 4, "NO": 0.8, "IS": 0.2}
OFFERS: dict[str, dict[str, float]] = {
    "DE express": {"swift": 60, "falk": 40},
    "DE economy": {"falk": 45, "post": 55},
    "EU express": {"swift": 70, "falk": 30},
    "EU economy": {"post": 60, "ocean": 40},
    "US express": {"falk": 55, "ocean": 45},
    "US economy": {"swift": 50, "post": 50},
    "ASIA express": {"falk": 1},
    "ASIA economy": {"ocean": 1},
    "NO express": {"falk": 1},
    "NO economy": {"post": 1},
    "IS express": {"falk": 1},
    "IS economy": {"post": 1},
}
"""Which carriers serve a zone at a speed. Swift is fast in Europe and cheap to the US, ocean the other way round."""
GOODS = {"books": 30, "clothes": 28, "tools": 16, "toys": 12, "wine": 7, "medicine": 5, "batteries": 1.4, "art": 0.6}
KILOS = {"books": 3.0, "clothes": 1.4, "tools": 9.0, "toys": 2.2, "wine": 14.0, "medicine": 0.6, "batteries": 5.0,
         "art": 20.0}  # fmt: skip
DENSITY = {"books": 0.6, "clothes": 0.15, "tools": 0.9, "toys": 0.12, "wine": 0.8, "medicine": 0.3, "batteries": 1.4,
           "art": 0.2}  # fmt: skip
"""Kilograms per litre."""


def make(rng: Random, n: int) -> Stream:
    """n events and their truth."""
    times = arrivals(rng, n, 6, BY_HOUR, "2025-11-10", weekend=0.4)
    depot, zone, goods = pick(rng, DEPOTS, n), pick(rng, ZONES, n), pick(rng, GOODS, n)
    speed = pick(rng, {"economy": 70, "express": 30}, n)
    carrier = pick_given(rng, np.array([f"{z} {s}" for z, s in zip(zone, speed, strict=True)], object), OFFERS)
    lanes = {d: {z: reach * rng.uniform(0.8, 1.25) for z, reach in REACH.items()} for d in DEPOTS}
    kilometres = np.array([lanes[d][z] for d, z in zip(depot, zone, strict=True)]) * spread(rng, 1.0, 0.04, n)
    pieces = pick(rng, {1: 78, 2: 14, 3: 5, 4: 2, 5: 1}, n).astype(float)
    weight = spread(rng, number_of(goods, KILOS) * pieces, 0.45, n)
    volume = weight / number_of(goods, DENSITY) * spread(rng, 1.0, 0.12, n)
    fuel = 1 + 0.12 * np.arange(n) / n  # the fuel surcharge creeps up
    price = (4 + 0.35 * weight + 0.006 * kilometres) * np.where(speed == "express", 2.2, 1.0) * fuel
    wait = spread(rng, np.where(speed == "express", 25.0, 170.0) * _backlog(hour_of(times)), 0.3, n)
    columns: dict[str, Any] = {
        "parcel": [f"{rng.integers(10**11, 10**12)}" for _ in range(n)],
        "scanned_at": times,
        "depot": depot,
        "to.zone": zone,
        "to.km": kilometres.round(1),
        "service.carrier": carrier,
        "service.speed": speed,
        "service.wait_minutes": wait.round(1),
        "goods.kind": goods,
        "goods.pieces": pieces.astype(int),
        "goods.kg": weight.round(2),
        "goods.litres": volume.round(1),
        "goods.value": with_holes(rng, heavy(rng, weight * 25, 0.5, n).round(2), 0.1),
        "price": (price * spread(rng, 1.0, 0.05, n)).round(2),
        "papers_complete": ~np.isin(zone.astype(str), ("NO", "IS")) | (rng.random(n) < 0.6),
    }
    events = flat_events(columns)
    truth = planted(events, kinds(), rng)
    return [nested(event) for event in events], truth


REACH = {"DE": 350.0, "EU": 1_100.0, "US": 7_200.0, "ASIA": 9_500.0, "NO": 1_300.0, "IS": 2_500.0}
"""Kilometres to a zone, roughly."""


def _backlog(hour: Any) -> Any:
    """Parcels wait longer towards the evening."""
    return 0.8 + 0.5 * np.clip((hour - 6) / 14, 0, 1)


def kinds() -> list[Kind]:
    """What is planted."""

    def carrier(event: Flat, _: Flat, rng: Random) -> None:
        event["service.carrier"] = "swift"

    def price(event: Flat, _: Flat, rng: Random) -> None:
        event["price"] = round(event["price"] * float(rng.choice([0.3, 3.0])), 2)

    def weight(event: Flat, _: Flat, rng: Random) -> None:
        event["goods.kg"] = round(float(rng.uniform(1_500, 6_000)), 2)

    def lane(event: Flat, _: Flat, rng: Random) -> None:
        event["to.km"] = round(float(rng.uniform(900, 1_400)), 1)

    def unseen(event: Flat, _: Flat, rng: Random) -> None:
        event["goods.kind"] = "fireworks"

    def papers(event: Flat, _: Flat, rng: Random) -> None:
        event["papers_complete"] = False

    def waits(event: Flat, _: Flat, rng: Random) -> None:
        event["service.wait_minutes"] = round(event["service.wait_minutes"] * float(rng.uniform(5, 8)), 1)

    def pieces(event: Flat, _: Flat, rng: Random) -> None:
        event["goods.pieces"] = int(rng.integers(25, 60))

    def rare(event: Flat, _: Flat, rng: Random) -> None:
        event["goods.kind"] = "art"

    def dense(event: Flat) -> bool:
        return event["goods.kind"] in ("tools", "batteries", "wine") and event["goods.kg"] < 15

    return [
        Kind("carrier, speed and zone never seen together", carrier,
             lambda e: e["to.zone"] == "US" and e["service.speed"] == "express"),
        Kind("price does not follow weight and way", price),
        Kind("weight far out", weight),
        Kind("way wrong for the zone", lane, lambda e: e["to.zone"] == "DE"),
        Kind("unseen goods", unseen),
        Kind("papers missing", papers, lambda e: e["to.zone"] not in ("NO", "IS")),
        Kind("express moderately late", waits, lambda e: e["service.speed"] == "express"),
        Kind("many pieces", pieces),
        Kind("rare goods of an impossible density", rare, dense),
    ]  # fmt: skip
