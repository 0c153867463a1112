"""Logins of a company's people, contractors and programs, over eight days with nights and a weekend."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.streams.anomalies import Flat, Kind, Stream, flat_events, nested, planted
from tests.benchmarks.streams.draws import Random, arrivals, heavy, hour_of, iso, pick, pick_given, spread, with_holes

BY_HOUR = [1, 1, 1, 1, 1, 1, 4, 14, 26, 24, 18, 15, 10, 16, 15, 13, 11, 8, 4, 3, 2, 1, 1, 1]
PEOPLE = 260
COUNTRIES: dict[str, dict[str, float]] = {
    "staff": {"DE": 86, "AT": 9, "FR": 3, "NL": 1.6, "CH": 0.4},
    "contractor": {"PL": 60, "DE": 32, "SG": 8},
    "program": {"DE": 1},
}
SYSTEMS: dict[str, dict[str, float]] = {
    "staff": {"Windows": 64, "macOS": 24, "iOS": 10, "Linux": 2},
    "contractor": {"Windows": 50, "macOS": 20, "Linux": 30},
    "program": {"Linux": 1},
}
BROWSERS: dict[str, dict[str, float]] = {
    "Windows": {"Edge": 62, "Chrome": 33, "Firefox": 5},
    "macOS": {"Safari": 55, "Chrome": 40, "Firefox": 5},
    "iOS": {"Safari": 96, "Chrome": 4},
    "Linux": {"Firefox": 60, "Chrome": 40},
}
APPS: dict[str, dict[str, float]] = {
    "staff": {"mail": 42, "wiki": 22, "crm": 18, "payroll": 3, "vpn": 14, "admin": 1},
    "contractor": {"wiki": 30, "git": 55, "vpn": 15},
    "program": {"git": 55, "crm": 45},
}


def make(rng: Random, n: int) -> Stream:
    """n events and their truth."""
    times = arrivals(rng, n, 8, [float(weight) for weight in BY_HOUR], "2025-09-01", weekend=0.2)
    hour = hour_of(times)
    day = (hour > 6.5) & (hour < 20)
    group = np.where(day, pick(rng, {"staff": 84, "contractor": 13, "program": 3}, n), "program").astype(object)
    user = [
        f"svc-{u % 7}" if g == "program" else f"{g[0]}{u % PEOPLE:03d}"
        for g, u in zip(group, rng.zipf(1.25, n), strict=True)
    ]
    system = pick_given(rng, group, SYSTEMS)
    browser = pick_given(rng, system, BROWSERS)
    browser[group == "program"] = "none"
    actions = np.ceil(spread(rng, np.where(group == "program", 60.0, 12.0), 0.8, n))
    seconds = actions * spread(rng, np.where(group == "program", 0.4, 25.0), 0.25, n)
    failed = pick(rng, {0: 93, 1: 5.5, 2: 1.2, 3: 0.3}, n)
    failed[group == "program"] = 0
    columns: dict[str, Any] = {
        "id": [f"L{i:08d}" for i in rng.permutation(n)],
        "at": iso(times),
        "user.name": user,
        "user.group": group,
        "geo.country": pick_given(rng, group, COUNTRIES),
        "geo.network": pick_given(
            rng, group, {"staff": {"office": 55, "home": 45}, "contractor": {"home": 1}, "program": {"cloud": 1}}
        ),
        "device.os": system,
        "device.browser": browser,
        "device.screen": with_holes(rng, pick(rng, {"1920x1080": 60, "2560x1440": 25, "1440x900": 15}, n), 0.2),
        "auth.app": pick_given(rng, group, APPS),
        "auth.second_factor": group != "program",
        "auth.failed_before": failed,
        "session.actions": actions.astype(int),
        "session.seconds": seconds.round(1),
        "session.downloaded_kb": heavy(rng, actions * 90, 0.45, n).round(1),
    }
    events = flat_events(columns)
    truth = planted(events, kinds(), rng)
    return [nested(event) for event in events], truth


def kinds() -> list[Kind]:
    """What is planted."""

    def abroad(event: Flat, _: Flat, rng: Random) -> None:
        event["geo.country"] = str(rng.choice(["BR", "NG", "VN"]))

    def singapore(event: Flat, _: Flat, rng: Random) -> None:
        event["geo.country"] = "SG"

    def one_factor(event: Flat, _: Flat, rng: Random) -> None:
        event["auth.second_factor"] = False

    def browser(event: Flat, _: Flat, rng: Random) -> None:
        event["device.browser"] = "Safari"

    def guesses(event: Flat, _: Flat, rng: Random) -> None:
        event["auth.failed_before"] = int(rng.integers(8, 30))

    def night(event: Flat, other: Flat, rng: Random) -> None:
        event.update({field: value for field, value in other.items() if field not in ("id", "at")})

    def hoards(event: Flat, _: Flat, rng: Random) -> None:
        event["session.downloaded_kb"] = round(float(rng.uniform(8e5, 4e6)), 1)

    def hurries(event: Flat, _: Flat, rng: Random) -> None:
        event["session.actions"] = int(rng.integers(60, 90))
        event["session.seconds"] = round(float(rng.uniform(15, 40)), 1)

    def staff(event: Flat) -> bool:
        return bool(event["user.group"] == "staff")

    return [
        Kind("unseen country", abroad),
        Kind("rare country never seen with the group", singapore, staff),
        Kind("no second factor", one_factor, lambda e: e["user.group"] != "program"),
        Kind("browser that the system cannot run", browser, lambda e: e["device.os"] == "Windows"),
        Kind("many failed attempts", guesses, staff),
        Kind("a person at night", night, lambda e: 0 <= int(e["at"][11:13]) < 5, staff),
        Kind("download far out", hoards),
        Kind("more actions than the time allows", hurries, staff),
    ]
