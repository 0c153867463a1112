"""The events that the scenarios of faults share, and what must come of them."""

from __future__ import annotations

from tests.scenarios.stream import Stream, events

RECORDS = 600
PLAIN = events(RECORDS, every=50)
TRUTH = {event["id"] for event in PLAIN if event["duration"] == 60.0}
"""The ids of the anomalies among them."""


def assert_each_alerted_once(setup: Stream) -> None:
    """Every anomaly has an alert, and no event has two."""
    ids = setup.flagged_ids()
    assert len(ids) == len(set(ids))
    assert set(ids) >= TRUTH
