"""Bedside monitors and pumps of a hospital: patients with their own ordinary values, over four days."""

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

PATIENTS = 30
WARDS = ("surgery", "cardiology", "neonatal")
DRUGS: dict[str, dict[str, float]] = {
    "surgery": {"saline": 70, "propofol": 16, "antibiotic": 13.6, "insulin": 0.4},
    "cardiology": {"saline": 48, "heparin": 30, "amiodarone": 21, "insulin": 1},
    "neonatal": {"glucose": 78, "caffeine": 22},
}
RATES = {"saline": 90.0, "propofol": 14.0, "antibiotic": 50.0, "insulin": 1.5, "heparin": 4.0, "amiodarone": 22.0,
         "glucose": 6.0, "caffeine": 0.6}  # fmt: skip
PULSE = {"surgery": 78.0, "cardiology": 68.0, "neonatal": 142.0}
UPPER = {"surgery": 124.0, "cardiology": 138.0, "neonatal": 64.0}
LOWER = {"surgery": 76.0, "cardiology": 82.0, "neonatal": 38.0}


def make(rng: Random, n: int) -> Stream:
    """n events and their truth."""
    times = arrivals(rng, n, 4, [1.0] * 24, "2025-03-17")
    patient = rng.integers(0, PATIENTS, n)
    ward = np.array(WARDS, object)[patient % 3]
    hour = hour_of(times)
    asleep = (hour < 6) | (hour > 22)
    recovers = np.linspace(0, 1, n) * rng.normal(0, 3, PATIENTS)[patient]
    pulse = number_of(ward, PULSE) + rng.normal(0, 6, PATIENTS)[patient] - 6 * asleep + recovers + rng.normal(0, 3, n)
    upper = number_of(ward, UPPER) + rng.normal(0, 6, PATIENTS)[patient] - 5 * asleep + rng.normal(0, 4, n)
    lower = number_of(ward, LOWER) + 0.45 * (upper - number_of(ward, UPPER)) + rng.normal(0, 2.5, n)
    mean = lower + (upper - lower) / 3 + rng.normal(0, 0.8, n)
    unmeasured = rng.random(n) < 0.35
    drug = pick_given(rng, ward, DRUGS)
    rate = spread(rng, number_of(drug, RATES), 0.16, n)
    breaths = 0.2 * pulse + rng.normal(0, 1.2, n)
    mode = pick(rng, {"continuous": 93, "bolus": 6.5, "test": 0.5}, n)

    def measured(values: Any) -> list[Any]:
        return [None if gone else round(v, 1) for v, gone in zip(values.tolist(), unmeasured.tolist(), strict=True)]

    columns: dict[str, Any] = {
        "measured_at": iso(times),
        "patient": [f"P{1_000 + 17 * p}" for p in patient],
        "ward": ward,
        "monitor.firmware": pick(rng, {"9.1": 88, "9.2": 11.6, "8.7": 0.4}, n),
        "monitor.attached": mode != "test",
        "vital.pulse": pulse.round(),
        "vital.breaths": breaths.round(1),
        "vital.oxygen": np.minimum(100 - rng.gamma(2.0, 0.9, n), 100).round(1),
        "vital.celsius": (36.8 - 0.3 * asleep + rng.normal(0, 0.22, n)).round(2),
        "pressure.upper": measured(upper),
        "pressure.lower": measured(lower),
        "pressure.mean": measured(mean),
        "pump.drug": drug,
        "pump.mode": mode,
        "pump.ml_per_h": rate.round(2),
        "pump.alarms": pick(rng, {0: 95, 1: 4, 2: 0.9, 3: 0.1}, n),
        "pump.battery": with_holes(rng, (100 * rng.beta(6, 1.2, n)).round(), 0.1),
    }
    events = flat_events(columns)
    truth = planted(events, kinds(), rng)
    planted_standstill(events, truth, "oxygen stands still", "patient", "vital.oxygen", rng)
    return [nested(event) for event in events], dict(sorted(truth.items()))


def kinds() -> list[Kind]:
    """What is planted, beside a value that stands still."""

    def races(event: Flat, _: Flat, rng: Random) -> None:
        event["vital.pulse"] = float(rng.integers(128, 150))

    def mean(event: Flat, _: Flat, rng: Random) -> None:
        event["pressure.mean"] = round(event["pressure.upper"] - float(rng.uniform(1, 4)), 1)

    def rate(event: Flat, _: Flat, rng: Random) -> None:
        event["pump.ml_per_h"] = round(float(rng.uniform(60, 110)), 2)

    def chokes(event: Flat, _: Flat, rng: Random) -> None:
        event["vital.oxygen"] = round(float(rng.uniform(35, 65)), 1)

    def unseen(event: Flat, _: Flat, rng: Random) -> None:
        event["pump.drug"] = str(rng.choice(["morphine", "adrenaline"]))

    def wrong_ward(event: Flat, other: Flat, rng: Random) -> None:
        event["pump.drug"], event["pump.ml_per_h"] = other["pump.drug"], other["pump.ml_per_h"]

    def detached(event: Flat, _: Flat, rng: Random) -> None:
        event["monitor.attached"] = False

    def fever(event: Flat, _: Flat, rng: Random) -> None:
        event["vital.celsius"] = round(float(rng.uniform(38.6, 39.6)), 2)

    def alarms(event: Flat, _: Flat, rng: Random) -> None:
        event["pump.alarms"] = int(rng.integers(9, 25))

    return [
        Kind("pulse wrong for the ward", races, lambda e: e["ward"] != "neonatal"),
        Kind("mean pressure does not follow", mean, lambda e: "pressure.mean" in e),
        Kind("rate of another drug", rate, lambda e: e["pump.drug"] in ("heparin", "glucose", "propofol")),
        Kind("oxygen far out", chokes),
        Kind("unseen drug", unseen),
        Kind("drug never given in the ward", wrong_ward, lambda e: e["ward"] == "neonatal",
             lambda e: e["pump.drug"] == "insulin"),
        Kind("monitor detached", detached, lambda e: e["pump.mode"] != "test"),
        Kind("moderate fever", fever),
        Kind("many alarms", alarms),
    ]  # fmt: skip
