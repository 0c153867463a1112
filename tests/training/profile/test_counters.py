"""Counters are recognised with and without resets, over all events or per entity; what only wanders is not one."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.profile.evidence.counters import looks_like_counter


def counter(seed: int, rows: int, resets: tuple[int, ...] = ()) -> list[int]:
    steps = np.random.default_rng(seed).integers(0, 120, rows).tolist()
    value, values = 0, []
    for row, step in enumerate(steps):
        value = step if row in resets else value + step
        values.append(value)
    return values


def test_a_counter_with_resets() -> None:
    assert looks_like_counter(counter(0, 600))
    assert looks_like_counter(counter(0, 600, resets=(150, 420)))
    values: list[Any] = counter(0, 600, resets=(150, 420))
    values[::7] = [None] * len(values[::7])
    assert looks_like_counter(values)


def test_a_counter_of_each_entity() -> None:
    rows = 600
    entities = [f"h{row % 6}" for row in range(rows)]
    own = [counter(host, 100, resets=(60,) if host == 2 else ()) for host in range(6)]
    values = [own[row % 6][row // 6] * 10 ** (row % 6) for row in range(rows)]
    assert looks_like_counter(values, entities)
    assert not looks_like_counter(values)
    alone = [str(row) for row in range(rows)]
    assert not looks_like_counter(values, alone)  # no entity has a past


def test_times_give_the_order() -> None:
    values, order = counter(0, 400), np.random.default_rng(1).permutation(400)
    assert not looks_like_counter([values[row] for row in order])
    assert looks_like_counter([values[row] for row in order], None, order.astype(np.float64))


def test_periodic_and_wandering_numbers_are_no_counters() -> None:
    assert not looks_like_counter([row % 60 for row in range(3_000)])  # the minute of an hour
    walk = np.cumsum(np.random.default_rng(0).normal(0.0, 1.0, 3_000))
    assert not looks_like_counter(walk.tolist())
    assert not looks_like_counter(np.random.default_rng(0).lognormal(3.0, 0.4, 3_000).tolist())
    assert not looks_like_counter([0] * 100)
    assert not looks_like_counter(list(range(31)))  # too few to tell
    assert looks_like_counter(list(range(32)))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 1_000), min_size=40, max_size=200), st.integers(1, 10**15))
def test_whatever_only_grows_is_a_counter_and_its_reverse_is_not(steps: list[int], start: int) -> None:
    values = np.cumsum([start, *steps]).tolist()
    assert looks_like_counter(values)
    assert not looks_like_counter(values[::-1])
