"""How often to fine-tune: after every tenth of the events seen so far, so less often as the stream grows."""

from __future__ import annotations

GROWTH = 0.1
LEAST = 64


def due_after(seen: int, most: int) -> int:
    """The number of events until the next version: a tenth of those seen, at least 64 and at most `most`.

    `most` is `fine_tune.events` in the configuration.
    """
    return min(max(LEAST, int(GROWTH * seen)), max(most, 1))
