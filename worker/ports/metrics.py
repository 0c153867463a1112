"""A metric as the worker reports it and as an adapter exposes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

Sample = tuple[tuple[str, ...], float]
"""Label values and the value."""


class Histogram(Protocol):
    """Durations in seconds: their sum, and how many there were up to each upper bound."""

    total: float

    def cumulative(self) -> list[tuple[float, int]]:
        """(upper bound in seconds, observations up to it), ascending; the last bound is infinite."""


class Metric(NamedTuple):
    """One metric and its samples by label values. The adapter appends `_total` to a counter's name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...]
    samples: Sequence[tuple[tuple[str, ...], float | Histogram]]
