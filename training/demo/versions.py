"""Keeps count of what the trainer does to the model while the demo runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from training.demo.pace import Pace


@dataclass(slots=True)
class Versions:
    """Counts versions from the log of the worker and the trainer, and tells `pace` when the model was decided upon.

    `refused` are the gate's reasons for each challenger that it refused.
    """

    pace: Pace
    fine_tunes: int = 0
    refused: list[str] = field(default_factory=list)

    def take(self, event: dict[str, Any], sent: int, scored: int) -> None:
        """Take an event of the log; `sent` and `scored` are the numbers of events so far.

        A version counts from its promotion. The worker's switch to it would be too late: that comes with the next
        record, and while the stream waits there is none.
        """
        match event["event"]:
            case "cold_start":
                self.pace.decide(sent)
            case "fine_tune":
                self.fine_tunes += 1
                self.pace.decide(scored)
            case "challenger_rejected":
                self.refused.append("; ".join(event["reasons"]))
                self.pace.decide(scored)
