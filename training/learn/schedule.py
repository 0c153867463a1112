"""How often is learnt: small and often, the more seldom the more was seen."""

from __future__ import annotations

GROWTH = 0.1
LEAST = 64


def due_after(seen: int, most: int) -> int:
    """Events from one version to the next when `seen` events have been seen: a tenth of them, at least 64, at most
    `most` (`fine_tune.events`).
    """
    return min(max(LEAST, int(GROWTH * seen)), max(most, 1))
