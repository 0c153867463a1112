"""Which flagged rows are alerted: a plain model of incidents and cooldowns agrees with the worker's code."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.evaluate.noise_control import Arrivals, published

QUIET_MS = 15 * 60_000
ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["a", "b", None]), st.integers(0, 20 * 60_000)), min_size=1, max_size=40
)


@given(ROWS, st.sampled_from([0, 60_000, 30 * 60_000]))
def test_an_alert_opens_an_incident_or_comes_after_the_cooldown(
    rows: list[tuple[bool, str | None, int]], cooldown: int
) -> None:
    """Times never fall here, and no step is longer than an hour, so that the clock is the time itself."""
    times = np.cumsum([gap for _, _, gap in rows])
    expected: list[bool] = []
    last: dict[str | None, int] = {}
    alerted: dict[str | None, int] = {}
    for (flagged, entity, _), time in zip(rows, times.tolist(), strict=True):
        if not flagged:
            expected.append(False)
            continue
        opens = entity not in last or time >= last[entity] + max(QUIET_MS, cooldown)
        expected.append(opens or time >= alerted[entity] + cooldown)
        if expected[-1]:
            alerted[entity] = time
        last[entity] = time
    arrivals = Arrivals.of([entity for _, entity, _ in rows], times)
    assert published(np.array([flagged for flagged, _, _ in rows]), arrivals, cooldown).tolist() == expected


def test_a_long_entity_is_named_as_in_its_alert() -> None:
    [name] = Arrivals.of(["x" * 1_000], np.zeros(1, np.int64)).entities
    assert name is not None and len(name) == 256 + 1 + 16
