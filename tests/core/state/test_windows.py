"""Windows: an entity's own records, newest first, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.learn.fit import fit
from worker.core.events.columns import Columns, from_bytes, to_bytes
from worker.core.events.spec import FeatureSpec
from worker.core.state.windows import lags_of

SPEC = FeatureSpec.model_validate({"features": [{"field": "a", "kind": "numeric"}], "window": 3})


@given(st.lists(st.sampled_from(["x", "y", None, "z"]), min_size=1, max_size=60), st.integers(1, 6))
def test_a_window_is_the_entitys_last_records(entities: list[str | None], window: int) -> None:
    lags = lags_of(entities, window)
    for row, entity in enumerate(entities):
        mine = [i for i in range(row + 1) if entities[i] == entity][::-1]
        assert lags[row].tolist() == [mine[min(lag, len(mine) - 1)] for lag in range(window)]


def windowed(values: list[float], entities: list[str | None]) -> Columns:
    return Columns((np.array(values),), lags_of(entities, 3))


def test_taking_joining_and_storing_keep_each_events_window() -> None:
    columns = windowed([1.0, 2.0, 3.0, 4.0, 5.0], ["p", "q", "p", "p", "q"])
    taken = columns.take(np.array([3, 1]))
    joined = Columns.concat([taken, windowed([7.0, 8.0], [None, None])])
    stored = from_bytes(to_bytes(joined, SPEC), SPEC)
    for found in (joined, stored):
        assert found.lags is not None
        assert found.values[0][found.lags].tolist() == [
            [4.0, 3.0, 1.0],
            [2.0, 2.0, 2.0],
            [7.0, 7.0, 7.0],
            [8.0, 7.0, 7.0],
        ]
    assert taken.newest().values[0].tolist() == [4.0, 2.0]
    assert len(taken.values[0]) == 4, "rows that no window needs are not kept"


def test_a_window_that_names_rows_that_are_not_there_is_refused() -> None:
    raw = to_bytes(windowed([1.0, 2.0], ["p", "p"]), SPEC)
    with pytest.raises(ValueError, match="not there"):
        from_bytes(raw.replace(np.array([1], "<i8").tobytes(), np.array([9], "<i8").tobytes()), SPEC)


def test_a_value_out_of_turn_is_found_only_with_a_window() -> None:
    """A wave in which some values come half a period too early: ordinary on their own, anomalous in their order."""
    time = np.arange(3_000)
    wave = np.sin(time / 5.0) + np.random.default_rng(0).normal(0.0, 0.05, len(time))
    odd = (time % 50 == 0) & (np.abs(wave) > 0.5) & (time > 2_000)
    turned = np.where(odd, -wave, wave)
    found = {}
    for window in (1, 3):
        spec = FeatureSpec.model_validate({"features": [{"field": "a", "kind": "numeric"}], "window": window})
        past, now = (Columns((values,), lags_of([None] * len(time), window)) for values in (wave, turned))
        detector = fit(spec, past.take(slice(0, 2_000)), kind="denoising", seed=0).detector()
        errors = detector.errors(detector.encoder.transform(now))[2_000:]
        # The two records after an odd one have it in their window, so they count on neither side.
        near = np.convolve(odd, np.ones(3))[: len(odd)][2_000:] > 0
        found[window] = (errors[odd[2_000:]][:, None] > errors[~near][None]).mean()
    assert found[3] > 0.95
    assert found[1] < 0.75
