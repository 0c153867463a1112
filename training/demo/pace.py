"""Paces the stream by the model: the demo squeezes hours into a minute, and a trainer may not keep up with that."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_MODEL_EVENTS = 2_048
"""The first model is trained on this many events, and none is scored before it serves."""
EVENTS_PER_VERSION = 5_000
PATIENCE_S = 60.0


@dataclass(slots=True)
class Pace:
    """Says whether the next event may be sent. It has no clock: times are monotonic seconds that the caller passes.

    `decided` is the number of events that were scored when the model was last decided upon: a new version was promoted,
    or the gate refused one. `waited` is the sum of all waits in seconds, and `given_up` how many of them
    ended without a decision.
    """

    decided: int | None = None
    waiting_since: float | None = None
    waited: float = 0.0
    given_up: int = 0

    def decide(self, events: int) -> None:
        self.decided = max(self.decided or 0, events)

    def may_send(self, sent: int, now: float) -> bool:
        """Whether another event may follow the `sent` ones.

        It may if fewer than 5,000 followed the last decision, or if a decision has not come within a minute of
        waiting: the trainer may have died, and then the demo goes on and shows it. Before there is a first model,
        nothing would be gained by going on.
        """
        if self.decided is None:
            free = sent < FIRST_MODEL_EVENTS
        else:
            free = sent - self.decided < EVENTS_PER_VERSION
            if not free and self.waiting_for(now) >= PATIENCE_S:
                self.given_up += 1
                self.decided = sent
                free = True
        if free:
            self.waited += self.waiting_for(now)
            self.waiting_since = None
        elif self.waiting_since is None:
            self.waiting_since = now
        return free

    def waiting_for(self, now: float) -> float:
        """The seconds of the present wait; 0 while the stream flows."""
        since = self.waiting_since
        return 0.0 if since is None else now - since
