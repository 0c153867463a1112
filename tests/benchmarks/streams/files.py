"""Loads a stream by its name, and writes it as a file of JSON lines."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from tests.benchmarks.labelled import SETS
from tests.benchmarks.streams import gateway, logins, payments, sensors, shipments
from tests.benchmarks.streams.anomalies import Stream
from tests.benchmarks.streams.aside import clicks, jobs, resolver, ward, warehouse
from tests.benchmarks.streams.draws import Random

EVENTS = 20_000
Maker = Callable[[Random, int], Stream]

MAKERS: dict[str, Maker] = {
    "gateway": gateway.make,
    "sensors": sensors.make,
    "logins": logins.make,
    "payments": payments.make,
    "shipments": shipments.make,
    "resolver": resolver.make,
    "warehouse": warehouse.make,
    "clicks": clicks.make,
    "ward": ward.make,
    "jobs": jobs.make,
}
ASIDE = ("resolver", "warehouse", "clicks", "ward", "jobs")
OPEN = ("checkouts", *(name for name in MAKERS if name not in ASIDE))


def load(name: str, seed: int = 0, events: int = EVENTS) -> Stream:
    """A stream's events in order, and the kind of each anomaly by its row. Raises KeyError for an unknown name.

    Checkouts is a file: the same for every seed, and cut to the first `events`.
    """
    if name == "checkouts":
        return _checkouts(events)
    return MAKERS[name](np.random.default_rng([seed, crc32(name.encode())]), events)


def write(events: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the events as JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for event in events:
            file.write(json.dumps(event, separators=(",", ":")) + "\n")


def _checkouts(events: int) -> Stream:
    with gzip.open(SETS / "checkouts.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    truth = json.loads((SETS / "checkouts.truth.json").read_text("utf-8"))
    return lines[:events], {int(row): kind for row, kind in truth.items() if int(row) < events}
