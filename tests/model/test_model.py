"""Some of the schedules, as part of every test run, and a check that they find planted bugs.

Many more: python -m tests.model --seeds 10000
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import structlog

from tests.model.__main__ import quiet, run_schedule
from tests.model.actors import ACTS
from tests.model.planted import PLANTED

SEEDS = 60
FOUND_BY = {
    "no assignment filter": 14,
    "group metadata taken at commit": 6,
    "the state of a batch kept whose outputs were dropped": 7,
    "read_uncommitted offsets": 298,
    "no catch-up": 6,
    "catch-up with today's versions": 8,
    "a snapshot of uncommitted state": 7,
    "no transaction": 3,
    "collects what a commit names": 19,
}
"""By bug one of the first seeds that find it. Without a bug all schedules are good."""


@pytest.fixture(autouse=True, scope="module")
def silent() -> Iterator[None]:
    before = structlog.get_config()
    quiet()
    gc.collect()
    yield
    structlog.configure(**before)


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_whatever_happens() -> None:
    outcomes = [run_schedule(seed) for seed in range(SEEDS)]
    assert [outcome for outcome in outcomes if not outcome.good] == []
    done = sum((outcome.done for outcome in outcomes[1:]), outcomes[0].done)
    assert {name for name in ACTS if not done[name]} == set()
    assert sum(outcome.alerts for outcome in outcomes) > 5 * SEEDS
    assert len([name for name in done if name.startswith("killed at")]) > 5


@pytest.mark.parametrize("seed", [12334, 18036, 19560])
def test_schedules_that_once_found_a_bug(seed: int) -> None:
    """A worker that paused after it had read that the group has no offset took the offset for lost, and stopped. A
    drain skipped its last snapshot if Redis had just been wiped.
    """
    assert run_schedule(seed).good


@pytest.mark.parametrize(("bug", "seed"), FOUND_BY.items())
def test_a_planted_bug_is_found(bug: str, seed: int) -> None:
    assert run_schedule(seed).good
    assert not run_schedule(seed, bug).good


def test_every_planted_bug_has_a_schedule_that_finds_it() -> None:
    assert FOUND_BY.keys() == PLANTED.keys() - {"none"}


def test_a_seed_is_one_schedule() -> None:
    assert run_schedule(5) == run_schedule(5)
