"""What a disturbed run is compared with: an undisturbed one over the same log, with the same versions."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.scenarios.stream import Stream, headers_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """Alerts and dead letters that are missing, that are there too often, and that differ; partitions whose state
    differs.
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
        return not (self.lost or self.doubled or self.different or self.letters_lost or self.letters_doubled
                    or self.states)  # fmt: skip

    def __str__(self) -> str:
        return (
            f"{self.wanted} alerts: lost {self.lost}, doubled {self.doubled}, different {self.different}; dead letters "
            f"lost {self.letters_lost}, doubled {self.letters_doubled}; state differences {self.states}"
        )


Ranges = list[tuple[int, int, int]]


def compared(made: Stream, reference: Stream, rewound: Ranges) -> Verdict:
    """What came of a range in `rewound` may be there once more."""
    ours, theirs = _alerts(made), _alerts(reference)
    own_letters, their_letters = _letters(made), _letters(reference)
    different = sum(1 for name in ours.keys() & theirs.keys() if any(one != theirs[name][0] for one in ours[name]))
    states, expected = made.state_bytes(), reference.state_bytes()
    return Verdict(
        wanted=len(theirs),
        lost=len(theirs.keys() - ours.keys()),
        doubled=len(ours.keys() - theirs.keys()) + sum(max(len(c) - _passes(c[0], rewound), 0) for c in ours.values()),
        different=different,
        letters_lost=sum((their_letters - own_letters).values()),
        letters_doubled=sum(
            max(count - 1 - _covering(int(place[0]), int(place[1]), rewound), 0) for place, count in own_letters.items()
        ),
        states=sum(states.get(partition) != state for partition, state in expected.items()),
    )


def _passes(alert: dict[str, Any], rewound: Ranges) -> int:
    """How often an alert may be there. A closed one names the record that opened it, and not the one that closed it."""
    if alert["status"] == "closed":
        return 1 + sum(partition == int(alert["record"]["partition"]) for partition, _, _ in rewound)
    return 1 + _covering(int(alert["record"]["partition"]), int(alert["record"]["offset"]), rewound)


def _covering(partition: int, offset: int, rewound: Ranges) -> int:
    return sum(one == partition and start <= offset < stop for one, start, stop in rewound)


def _alerts(stream: Stream) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for message in stream.kafka.read_committed(stream.settings.kafka.alerts):
        alert = json.loads(message.value() or b"")
        plain = {name: value for name, value in alert.items() if name not in ("detected_at", "stream")}
        found.setdefault(alert["alert_id"], []).append(plain)
    return found


def _letters(stream: Stream) -> Counter[tuple[str, str]]:
    """By partition and offset of the record that they came from."""
    letters = map(headers_of, stream.kafka.read_committed(stream.settings.kafka.dead_letters))
    return Counter((headers["offbeat-partition"], headers["offbeat-offset"]) for headers in letters)
