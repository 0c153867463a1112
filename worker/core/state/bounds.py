"""The bounds on a partition's memory of entities, in a module of their own: the configuration needs no kernels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """A partition remembers at most this many `entities`, and forgets one after `idle_ms` of event time without a
    record.
    """

    entities: int = 300_000
    idle_ms: int = 7 * 86_400_000
