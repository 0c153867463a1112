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
    serving: int | None = None

    def take(self, event: dict[str, Any], sent: int, scored: int) -> None:
        """Take an event of the log; `sent` and `scored` are the numbers of events so far."""
        match event["event"]:
            case "cold_start":
                self.serving = event["version"]
                self.pace.decide(sent)
            case "fine_tune":
                self.fine_tunes += 1
            case "challenger_rejected":
                self.refused.append("; ".join(event["reasons"]))
                self.pace.decide(scored)
            case "switched" if event["version"] != self.serving and event["partition"] == 0:
                # A threshold that moves is a switch too, but the model is as old as before.
                self.serving = event["version"]
                self.pace.decide(event["offset"])
