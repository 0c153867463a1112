"""Compares a disturbed run with an undisturbed one over the same log, with the same versions."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.scenarios.stream import Stream, headers_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """Numbers of alerts and dead letters that are lost, doubled or different, and of partitions whose state differs.

    `wanted` is the number of alerts of the undisturbed run.
    """

    wanted: int
    lost: int
    doubled: int
    different: int
    letters_lost: int
    letters_doubled: int
    states: int

    @property
    def good(self) -> bool:
        alerts = self.lost + self.doubled + self.different
        return alerts + self.letters_lost + self.letters_doubled + self.states == 0

    def __str__(self) -> str:
        return (
            f"{self.wanted} alerts: lost {self.lost}, doubled {self.doubled}, different {self.different}; dead letters "
            f"lost {self.letters_lost}, doubled {self.letters_doubled}; state differences {self.states}"
        )


Ranges = list[tuple[int, int, int]]


def compare(disturbed: Stream, reference: Stream, rewound: Ranges) -> Verdict:
    """Results of a range in `rewound` may be there once more for each time that it was rewound."""
    ours, theirs = _alerts(disturbed), _alerts(reference)
    our_letters, their_letters = _letters(disturbed), _letters(reference)
    different = sum(1 for name in ours.keys() & theirs.keys() if any(alert != theirs[name][0] for alert in ours[name]))
    states, expected = disturbed.state_bytes(), reference.state_bytes()
    return Verdict(
        wanted=len(theirs),
        lost=len(theirs.keys() - ours.keys()),
        doubled=len(ours.keys() - theirs.keys()) + sum(max(len(c) - _passes(c[0], rewound), 0) for c in ours.values()),
        different=different,
        letters_lost=sum((their_letters - our_letters).values()),
        letters_doubled=sum(
            max(count - 1 - _covering(int(place[0]), int(place[1]), rewound), 0) for place, count in our_letters.items()
        ),
        states=sum(states.get(partition) != state for partition, state in expected.items()),
    )


def _passes(alert: dict[str, Any], rewound: Ranges) -> int:
    """How often an alert may be there. A closing one names the record that opened its incident, not the closing one."""
    if alert["status"] == "closed":
        return 1 + sum(partition == int(alert["record"]["partition"]) for partition, _, _ in rewound)
    return 1 + _covering(int(alert["record"]["partition"]), int(alert["record"]["offset"]), rewound)


def _covering(partition: int, offset: int, rewound: Ranges) -> int:
    return sum(partition == other and start <= offset < stop for other, start, stop in rewound)


def _alerts(stream: Stream) -> dict[str, list[dict[str, Any]]]:
    """Alerts by id, without the fields that differ between runs."""
    alerts: dict[str, list[dict[str, Any]]] = {}
    for message in stream.kafka.read_committed(stream.settings.kafka.alerts):
        alert = json.loads(message.value() or b"")
        plain = {name: value for name, value in alert.items() if name not in ("detected_at", "stream")}
        alerts.setdefault(alert["alert_id"], []).append(plain)
    return alerts


def _letters(stream: Stream) -> Counter[tuple[str, str]]:
    """Dead letters by the partition and the offset of their record."""
    letters = map(headers_of, stream.kafka.read_committed(stream.settings.kafka.dead_letters))
    return Counter((headers["offbeat-partition"], headers["offbeat-offset"]) for headers in letters)
