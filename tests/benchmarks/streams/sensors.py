"""Readings of machines of three types, each machine with its own ordinary level, over five days."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.streams.anomalies import Flat, Kind, Stream, flat_events, nested, planted, planted_standstill
from tests.benchmarks.streams.draws import Random, arrivals, hour_of, number_of, pick, pick_given, spread, with_holes

MACHINES = 24
TYPES = ("press", "lathe", "pump")
FIRMWARE: dict[str, dict[str, float]] = {
    "press": {"4.2.1": 80, "4.3.0": 20},
    "lathe": {"7.0.9": 99, "7.1.0": 1},
    "pump": {"2.8.0": 60, "2.8.1": 40},
}
RPM = {"press": 600.0, "lathe": 2_400.0, "pump": 1_450.0}
HEAT = {"press": 62.0, "lathe": 48.0, "pump": 35.0}
VOLTS = {"press": 400.0, "lathe": 400.0, "pump": 230.0}
CODES = {"none": 99, "W-12": 0.7, "W-31": 0.2, "I-04": 0.1}


def make(rng: Random, n: int) -> Stream:
    """n events and their truth."""
    times = arrivals(rng, n, 5, [1.0] * 24, "2025-02-03")
    number = rng.integers(0, MACHINES, n)
    machine_type = np.array(TYPES, object)[number % 3]
    own_heat, own_load = rng.normal(0, 3.0, MACHINES)[number], rng.uniform(0.8, 1.25, MACHINES)[number]
    hour = hour_of(times)
    shift = (hour > 6) & (hour < 22)
    mode = np.where(shift, pick(rng, {"run": 88, "idle": 11, "service": 1}, n), pick(rng, {"run": 30, "idle": 70}, n))
    mode = mode.astype(object)
    busy = number_of(mode, {"run": 1.0, "idle": 0.0, "service": 0.3})
    rpm = number_of(machine_type, RPM) * busy * own_load * (1 + rng.normal(0, 0.02, n))
    ambient = 18 + 5 * np.sin((hour - 9) / 24 * 2 * np.pi)
    heat = ambient + (number_of(machine_type, HEAT) - 18 + own_heat) * (0.25 + 0.75 * busy) + rng.normal(0, 0.8, n)
    current = (2 + 14 * busy * own_load) * spread(rng, 1.0, 0.08, n)
    volts = number_of(machine_type, VOLTS) * (1 + rng.normal(0, 0.01, n))
    wear = np.where(machine_type == "pump", 1 + 0.5 * np.arange(n) / n, 1.0)  # the pumps' bearings wear out slowly
    vibration = (0.3 + 2.2 * busy) * wear * spread(rng, 1.0, 0.22, n)
    pressure = np.where(machine_type == "lathe", 0.0, 5.5 * (0.4 + 0.6 * busy)) + rng.normal(0, 0.08, n)
    columns: dict[str, Any] = {
        "time": (times / 1000).round(3),
        "machine.id": [f"m-{m:02d}" for m in number],
        "machine.type": machine_type,
        "machine.firmware": pick_given(rng, machine_type, FIRMWARE),
        "machine.mode": mode,
        "machine.guard_closed": mode != "service",
        "reading.rpm": rpm.round(),
        "reading.temperature": heat.round(2),
        "reading.current": current.round(2),
        "reading.voltage": volts.round(1),
        "reading.power": (volts * current * 0.86 * (1 + rng.normal(0, 0.01, n))).round(),
        "reading.vibration": vibration.round(3),
        "reading.pressure": pressure.round(3),
        "reading.humidity": with_holes(rng, (55 - ambient + rng.normal(0, 3, n)).round(1), 0.15),
        "code": pick(rng, CODES, n),
    }
    events = flat_events(columns)
    truth = planted(events, kinds(), rng)
    planted_standstill(events, truth, "temperature stands still", "machine.id", "reading.temperature", rng)
    return [nested(event) for event in events], dict(sorted(truth.items()))


def kinds() -> list[Kind]:
    """What is planted, beside a reading that stands still."""

    def shakes(event: Flat, _: Flat, rng: Random) -> None:
        event["reading.vibration"] = round(float(rng.uniform(40, 90)), 3)

    def warm(event: Flat, _: Flat, rng: Random) -> None:
        event["reading.temperature"] = round(event["reading.temperature"] + float(rng.uniform(16, 22)), 2)

    def like_another(event: Flat, other: Flat, rng: Random) -> None:
        event["reading.rpm"] = other["reading.rpm"]

    def power(event: Flat, _: Flat, rng: Random) -> None:
        event["reading.power"] = round(event["reading.power"] * float(rng.choice([0.45, 1.7])))

    def opens(event: Flat, _: Flat, rng: Random) -> None:
        event["machine.guard_closed"] = False

    def unseen(event: Flat, _: Flat, rng: Random) -> None:
        event["code"] = str(rng.choice(["E-77", "E-90"]))

    def flashed(event: Flat, other: Flat, rng: Random) -> None:
        event["machine.firmware"] = other["machine.firmware"]

    def runs(kind: str) -> Any:
        return lambda e: e["machine.type"] == kind and e["machine.mode"] == "run"

    return [
        Kind("vibration far out", shakes),
        Kind("temperature moderately out", warm, lambda e: e["machine.mode"] == "run"),
        Kind("speed wrong for the machine", like_another, runs("press"), runs("lathe")),
        Kind("power does not follow current", power, lambda e: e["machine.mode"] == "run"),
        Kind("guard open while running", opens, lambda e: e["machine.mode"] == "run"),
        Kind("unseen code", unseen),
        Kind("firmware of another type", flashed, runs("pump"), runs("lathe")),
    ]
