"""Changes for good are told as what they are, from the row where they begin; ordinary streams have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.learn.changes import find_changes, select_new
from worker.core.events.columns import Columns
from worker.core.events.spec import FeatureSpec
from worker.core.model.bundle import Change
from worker.core.model.encoder import Encoder

ROWS = 1_000
SPEC = FeatureSpec.model_validate(
    {"features": [{"field": "ms", "kind": "numeric"}, {"field": "proto", "kind": "categorical"}]}
)
TIMES = np.arange(ROWS, dtype=np.int64) * 1_000


def stream(seed: int, rows: int = ROWS) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return rng.lognormal(3.0, 0.4, rows), rng.choice(["TCP", "UDP", "ICMP"], rows, p=[0.6, 0.3, 0.1]).astype(object)


def found(ms: npt.NDArray[np.float64], proto: npt.NDArray[Any]) -> tuple[Change, ...]:
    columns = Columns((ms, proto))
    return find_changes(Encoder.fit(SPEC, columns), columns, TIMES[: len(ms)])


BEGINS = st.integers(210, 900)
SEEDS = st.integers(0, 10_000)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_a_stationary_stream_has_none(seed: int) -> None:
    assert found(*stream(seed)) == ()


@settings(max_examples=20, deadline=None)
@given(SEEDS, BEGINS, st.sampled_from([1e-3, 60.0, 1e3, 1e6]))
def test_another_unit_is_told_with_its_factor_and_its_begin(seed: int, begin: int, factor: float) -> None:
    ms, proto = stream(seed)
    before, ms = ms.copy(), ms * np.where(np.arange(ROWS) < begin, 1.0, factor)
    [change] = found(ms, proto)
    # An ordinary value just before the begin may lie in the gap by chance.
    assert change.field == "ms" and change.since is not None and 0 <= begin - change.since / 1_000 <= 2
    was = float(change.before.removeprefix("median ").split(",")[0])
    assert was == pytest.approx(np.median(before[:begin]), rel=0.02)
    if begin <= 800:  # the ratio of the medians of fewer rows is not exact
        times = round(max(factor, 1 / factor))
        assert change.hint == f"about {times:,} times {'larger' if factor > 1 else 'smaller'}: perhaps another unit"


@settings(max_examples=20, deadline=None)
@given(SEEDS, BEGINS)
def test_levels_in_another_spelling(seed: int, begin: int) -> None:
    ms, proto = stream(seed)
    proto[begin:] = [text.lower() for text in proto[begin:]]
    [change] = found(ms, proto)
    # If the rarest level came first, and too few of its rows follow, it is not named.
    assert change.field == "proto" and change.since is not None and 0 <= change.since / 1_000 - begin <= 10
    assert "'tcp'" in change.after and "'udp'" in change.after
    if begin <= 600:  # a tenth of the events needs some rows until nobody doubts that it is gone
        assert change.before == "no longer 'TCP', 'UDP', 'ICMP'"
        assert change.after.endswith("in 100% of the events")
        assert change.hint == "the same levels in another spelling"


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(200, 700), st.floats(0.12, 1.0))
def test_a_new_level_that_takes_over(seed: int, begin: int, share: float) -> None:
    ms, proto = stream(seed)
    proto[begin:][np.random.default_rng(seed).random(ROWS - begin) < share] = "QUIC"
    [change] = found(ms, proto)
    assert change.field == "proto" and change.after.startswith("'QUIC' in ")
    assert change.since is not None and begin * 1_000 <= change.since <= (begin + 100) * 1_000


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(200, 700))
def test_a_number_that_goes_missing(seed: int, begin: int) -> None:
    ms, proto = stream(seed)
    ms[begin:] = np.nan
    [change] = found(ms, proto)
    assert (change.field, change.after) == ("ms", "missing in 100% of the events")
    assert change.since == begin * 1_000


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(200, 600), st.integers(1, 200))
def test_what_passes_again_is_no_change_for_good(seed: int, begin: int, length: int) -> None:
    ms, proto = stream(seed)
    ms[begin : begin + length] *= 1_000.0
    proto[begin : begin + length] = "QUIC"
    assert found(ms, proto) == ()


def test_too_few_rows_tell_nothing() -> None:
    ms, proto = stream(0, 231)
    ms[200:] *= 1_000.0
    proto[200:] = "QUIC"
    assert found(ms, proto) == ()


@pytest.mark.parametrize(
    ("field", "since", "new"), [("ms", 5_000, False), ("ms", 12_000, True), ("proto", 5_000, True), ("ms", None, False)]
)
def test_the_parents_changes_are_not_told_again(field: str, since: int | None, new: bool) -> None:
    told = [Change(field="ms", before="", after="", since=5_000, hint="")]
    change = Change(field=field, before="", after="", since=since, hint="")
    assert (select_new([change], told, np.array([1_000, 10_000])) == (change,)) is new
    assert select_new([change], [], None) == (change,)


def test_a_long_level_is_cut_where_it_is_told() -> None:
    ms, proto = stream(0)
    proto[600:] = "secret " * 500
    [change] = found(ms, proto)
    assert change.field == "proto" and change.after.startswith("'secret secret") and "…' in 100%" in change.after
    assert len(change.after) < 100
