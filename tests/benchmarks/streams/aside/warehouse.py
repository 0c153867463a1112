"""Scans of goods in a warehouse of five halls with two shifts, over five days."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.streams.anomalies import Flat, Kind, Stream, flat_events, nested, planted, planted_standstill
from tests.benchmarks.streams.draws import (
    Random,
    arrivals,
    hour_of,
    iso,
    number_of,
    pick,
    pick_given,
    spread,
    with_holes,
)

BY_HOUR = [0.3, 0.3, 0.3, 0.3, 0.3, 4, 9, 10, 10, 8, 9, 9, 6, 9, 10, 9, 9, 8, 8, 7, 6, 4, 0.5, 0.3]
CELSIUS = {"frozen": -20.0, "cool": 5.0, "dry-1": 18.0, "dry-2": 19.0, "yard": 12.0}
GRAMS = {
    "ice": 900, "pizza": 400, "fish": 600, "peas": 750, "milk": 1_000, "cheese": 300, "butter": 250, "yoghurt": 500,
    "rice": 1_000, "pasta": 500, "sugar": 1_000, "flour": 1_000, "coffee": 500, "tea": 100, "soap": 150, "paper": 1_800,
    "crisps": 175, "water": 9_000, "juice": 6_000, "beer": 12_000, "charcoal": 3_000, "soil": 20_000, "pellets": 15_000,
}  # fmt: skip
GOODS: dict[str, dict[str, float]] = {
    "frozen": {"ice": 20, "pizza": 45, "fish": 20, "peas": 15},
    "cool": {"milk": 40, "cheese": 25, "butter": 15, "yoghurt": 20},
    "dry-1": {"rice": 20, "pasta": 30, "sugar": 20, "flour": 20, "coffee": 9, "tea": 1},
    "dry-2": {"soap": 25, "paper": 40, "crisps": 35},
    "yard": {"water": 50, "juice": 25, "beer": 20, "charcoal": 3, "soil": 1.5, "pellets": 0.5},
}
TASKS: dict[str, dict[str, float]] = {
    "hand": {"pick": 80, "count": 15, "return": 5},
    "forklift": {"store": 70, "pick": 29, "count": 1},
    "robot": {"pick": 50, "store": 50},
}


def make(rng: Random, n: int) -> Stream:
    """n events and their truth."""
    times = arrivals(rng, n, 5, BY_HOUR, "2025-10-06")
    hour = hour_of(times)
    night = (hour < 5) | (hour >= 22)
    hall = pick(rng, {"dry-1": 34, "dry-2": 26, "cool": 20, "frozen": 12, "yard": 8}, n)
    by = np.where(night, "robot", pick(rng, {"hand": 70, "forklift": 20, "robot": 10}, n)).astype(object)
    by[(by == "robot") & ~np.isin(hall.astype(str), ("dry-1", "dry-2"))] = "hand"
    hall[night] = pick(rng, {"dry-1": 60, "dry-2": 40}, int(night.sum()))
    by[night] = "robot"
    task = pick_given(rng, by, TASKS)
    goods = pick_given(rng, hall, GOODS)
    expected = np.ceil(spread(rng, np.where(task == "store", 40.0, 6.0), 0.6, n))
    counted = np.maximum(expected + np.where(rng.random(n) < 0.02, rng.choice([-2, -1, 1], n), 0), 1)
    grams = counted * number_of(goods, GRAMS) * (1 + rng.normal(0, 0.012, n))
    shelf = np.where(by == "forklift", rng.integers(3, 9, n), np.where(by == "robot", rng.integers(0, 9, n), 1))
    shelf = np.where(by == "hand", rng.integers(0, 3, n), shelf)
    warm = number_of(hall, CELSIUS) + np.where(hall == "yard", 6 * np.sin((hour - 9) / 24 * 2 * np.pi), 0)
    columns: dict[str, Any] = {
        "scan": [f"S-{1_000_000 + 3 * i}" for i in range(n)],
        "when": iso(times),
        "device.id": [f"sc-{d:02d}" for d in rng.integers(0, 36, n)],
        "device.by": by,
        "device.signal_dbm": np.clip(rng.normal(-58, 7, n), -88, -35).round(),
        "place.hall": hall,
        "place.shelf": shelf.astype(int),
        "place.celsius": (warm + rng.normal(0, 0.5, n)).round(1),
        "task": task,
        "goods.kind": goods,
        "goods.expected": expected.astype(int),
        "goods.counted": counted.astype(int),
        "goods.grams": grams.round(),
        "goods.days_left": with_holes(rng, np.ceil(spread(rng, 60.0, 0.7, n)), 0.3),
        "tries": 1 + np.minimum(rng.geometric(0.93, n) - 1, 3),
        "seconds": (spread(rng, np.where(by == "hand", 14.0, 31.0), 0.3, n) * (1 + 0.2 * np.arange(n) / n)).round(1),
    }
    events = flat_events(columns)
    truth = planted(events, kinds(), rng)
    planted_standstill(events, truth, "signal stands still", "device.id", "device.signal_dbm", rng)
    return [nested(event) for event in events], dict(sorted(truth.items()))


def kinds() -> list[Kind]:
    """What is planted, beside a signal that stands still."""

    def hall(event: Flat, other: Flat, rng: Random) -> None:
        event["goods.kind"] = other["goods.kind"]
        event["goods.grams"] = round(event["goods.counted"] * GRAMS[other["goods.kind"]] * 1.0, 0)

    def thaws(event: Flat, _: Flat, rng: Random) -> None:
        event["place.celsius"] = round(float(rng.uniform(3, 20)), 1)

    def short(event: Flat, _: Flat, rng: Random) -> None:
        event["goods.counted"] = int(event["goods.expected"] * rng.uniform(2.5, 4.0))
        event["goods.grams"] = round(event["goods.counted"] * GRAMS[event["goods.kind"]] * 1.0, 0)

    def night(event: Flat, other: Flat, rng: Random) -> None:
        event.update({field: value for field, value in other.items() if field not in ("scan", "when")})

    def tries(event: Flat, _: Flat, rng: Random) -> None:
        event["tries"] = int(rng.integers(9, 20))

    def unseen(event: Flat, _: Flat, rng: Random) -> None:
        event["goods.kind"] = "fireworks"

    def climbs(event: Flat, _: Flat, rng: Random) -> None:
        event["place.shelf"] = int(rng.integers(6, 9))

    def slow(event: Flat, _: Flat, rng: Random) -> None:
        event["seconds"] = round(event["seconds"] * float(rng.uniform(5, 8)), 1)

    def is_in(*halls: str) -> Any:
        return lambda e: e["place.hall"] in halls

    return [
        Kind("goods of another hall", hall, is_in("dry-1", "dry-2"), is_in("frozen", "cool")),
        Kind("temperature wrong for the hall", thaws, is_in("frozen")),
        Kind("count does not follow what is expected", short, lambda e: e["goods.expected"] >= 4),
        Kind("a person at night", night, lambda e: e["when"][11:13] in ("23", "00", "01", "02", "03"),
             lambda e: e["device.by"] == "hand"),
        Kind("many tries", tries),
        Kind("unseen goods", unseen),
        Kind("by hand on a high shelf", climbs, lambda e: e["device.by"] == "hand"),
        Kind("moderately slow", slow),
    ]  # fmt: skip
