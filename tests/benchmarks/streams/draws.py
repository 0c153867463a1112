"""Draws of levels, numbers and times, from which the streams are made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

Levels = npt.NDArray[np.object_]
Numbers = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Random = np.random.Generator

DAY_MS = 86_400_000


def pick(rng: Random, shares: Mapping[Any, float], n: int) -> Levels:
    """n levels, drawn by their shares, which need not add up to 1."""
    levels = np.empty(len(shares), object)
    levels[:] = list(shares)
    weights = np.array(list(shares.values()), float)
    return levels[rng.choice(len(levels), n, p=weights / weights.sum())]


def pick_given(rng: Random, given: Levels, tables: Mapping[Any, Mapping[Any, float]]) -> Levels:
    """A level for each of `given`, drawn by the shares that belong to that level of `given`."""
    drawn = np.empty(len(given), object)
    for level, shares in tables.items():
        mine = given == level
        drawn[mine] = pick(rng, shares, int(mine.sum()))
    return drawn


def number_of(given: Levels, table: Mapping[Any, float]) -> Numbers:
    """The number that the table holds for each level."""
    return np.array([table[level] for level in given], float)


def spread(rng: Random, median: Numbers | float, sigma: Numbers | float, n: int) -> Numbers:
    """n log-normal numbers around a median."""
    return np.asarray(median) * np.exp(rng.normal(0.0, 1.0, n) * sigma)


def heavy(rng: Random, median: Numbers | float, tail: float, n: int) -> Numbers:
    """n numbers around a median with a Student's t tail on the log scale: few, but very large or small ones."""
    return np.asarray(median) * np.exp(np.clip(rng.standard_t(5.0, n) * tail, -6 * tail, 6 * tail))


def arrivals(rng: Random, n: int, days: float, by_hour: list[float], start: str, weekend: float = 1.0) -> Times:
    """n increasing times in ms since 1970, more of them in the hours with more weight, fewer at the weekend."""
    first = int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp() * 1000)
    hours = np.arange(int(days * 24))
    weekday = (first // DAY_MS + 3 + hours // 24) % 7
    weights = np.array(by_hour)[hours % 24] * np.where(weekday >= 5, weekend, 1.0)
    drawn = rng.choice(hours, n, p=weights / weights.sum()) + rng.random(n)
    return np.sort(first + (drawn * 3_600_000).astype(np.int64))


def hour_of(times: Times) -> Numbers:
    """The hour of the day, with its fraction."""
    return (times % DAY_MS) / 3_600_000


def iso(times: Times) -> list[str]:
    """ISO 8601 with milliseconds, in UTC."""
    return [
        datetime.fromtimestamp(t / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for t in times.tolist()
    ]


def with_holes(rng: Random, values: Any, share: float) -> Levels:
    """The values with a share of them missing."""
    holed = np.empty(len(values), object)
    holed[:] = values.tolist() if isinstance(values, np.ndarray) else values
    holed[rng.random(len(values)) < share] = None
    return holed
