"""A few of the schedules in every test run, and that planted bugs do not get through them.

All of them: python -m tests.model --seeds 10000
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import structlog

from tests.model.__main__ import one, quiet
from tests.model.planted import PLANTED
from tests.model.world import ACTS

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
"""Each by one of the first seeds that find it; all schedules are good without."""


@pytest.fixture(autouse=True, scope="module")
def silent() -> Iterator[None]:
    before = structlog.get_config()
    quiet()
    gc.collect()
    yield
    structlog.configure(**before)


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_whatever_happens() -> None:
    outcomes = [one(seed) for seed in range(SEEDS)]
    assert [outcome for outcome in outcomes if not outcome.good] == []
    done = sum((outcome.done for outcome in outcomes[1:]), outcomes[0].done)
    assert {name for name in ACTS if not done[name]} == set()
    assert sum(outcome.alerts for outcome in outcomes) > 5 * SEEDS
    assert len([name for name in done if name.startswith("killed at")]) > 5


@pytest.mark.parametrize("seed", [12334, 18036, 19560])
def test_what_schedules_have_found_once(seed: int) -> None:
    """A worker that stood still after it had read that the group has no offset took it for lost, and stopped; a drain
    left its last snapshot out when Redis had just been wiped.
    """
    assert one(seed).good


@pytest.mark.parametrize(("bug", "seed"), FOUND_BY.items())
def test_a_planted_bug_is_found(bug: str, seed: int) -> None:
    assert one(seed).good
    assert not one(seed, bug).good


def test_every_planted_bug_has_a_schedule_that_finds_it() -> None:
    assert FOUND_BY.keys() == PLANTED.keys() - {"none"}


def test_a_seed_is_one_schedule() -> None:
    assert one(5) == one(5)
