"""The prequential evaluation scores before it trains, and chunks and threads do not change its figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import training.evaluate.prequential as prequential
from tests.core.examples import SPEC, rows
from training.evaluate.prequential import evaluate, warmup_rows
from training.learn.schedule import due_after
from worker.config.settings import Settings
from worker.core.events.columns import Columns

SETTINGS = Settings.model_validate(
    {"stream": "t", "features": [feature.model_dump() for feature in SPEC.features], "threshold": {"alert_rate": 0.01}}
)


def odd(count: int, every: int, seed: int = 0) -> tuple[Columns, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """In every `every`-th row b does not go with a."""
    columns = rows(count, seed)
    labels = np.arange(count) % every == every - 1
    columns.values[1][labels] = np.roll(columns.values[1][labels], 1)
    return columns, labels


@pytest.mark.parametrize("change", [201, 265, 800])
def test_the_future_never_reaches_a_score(change: int) -> None:
    """If rows from `change` on differ, the scores before them have the same bits."""
    columns, _ = odd(1_200, 40)
    other = columns.take(np.arange(1_200))
    other.values[0][change:] += 50.0
    first, second = (evaluate(SETTINGS, c, warmup=200, seed=1) for c in (columns, other))
    assert (first.error[: change - 200] == second.error[: change - 200]).all()
    assert (first.error[change - 200 :] != second.error[change - 200 :]).any()


def test_chunks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, _ = odd(900, 40)
    whole = evaluate(SETTINGS, columns, warmup=200, seed=1)
    monkeypatch.setattr(prequential, "_CHUNK", 7)
    torch.set_num_threads(2)
    try:
        small = evaluate(SETTINGS, columns, warmup=200, seed=1)
    finally:
        torch.set_num_threads(1)
    assert (whole.error == small.error).all()
    assert (whole.p_value == small.p_value).all()
    assert (whole.version == small.version).all()


def test_another_seed_is_another_run_and_the_same_seed_the_same() -> None:
    columns, _ = odd(700, 40)
    one, again, other = (evaluate(SETTINGS, columns, warmup=300, seed=seed).error for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


def test_versions_are_trained_less_often_as_more_rows_were_seen() -> None:
    assert [due_after(seen, 500) for seen in (32, 640, 1_000, 5_000, 100_000)] == [64, 64, 100, 500, 500]
    columns, _ = odd(1_500, 40)
    outcome = evaluate(SETTINGS, columns, warmup=400, seed=0)
    at = 400 + np.flatnonzero(np.diff(outcome.version, prepend=0))
    expected = [400]
    while expected[-1] + due_after(expected[-1], 500) < 1_500:
        expected.append(expected[-1] + due_after(expected[-1], 500))
    assert at.tolist() == expected
    assert sorted(outcome.served) == list(range(1, len(expected) + 1))


def test_broken_relations_rank_above_normal_rows() -> None:
    columns, labels = odd(3_000, 50)
    outcome = evaluate(SETTINGS, columns, warmup=500, seed=0)
    found, normal = outcome.error[labels[500:]], outcome.error[~labels[500:]]
    # The b of another row is sometimes close to the true one, so not every anomaly can rank high.
    assert (found[:, None] > normal[None]).mean() > 0.6


def test_a_stream_that_moves_is_learnt_again() -> None:
    columns = rows(3_000)
    columns.values[0][1_500:] += 6.0
    columns.values[1][1_500:] *= np.exp(3.0)
    error = evaluate(SETTINGS, columns, warmup=300, seed=0).error
    before, shock, after = (
        float(np.median(error[part])) for part in (slice(900, 1_200), slice(1_200, 1_260), slice(2_400, 2_700))
    )
    assert shock > 3 * before
    assert after < 1.5 * before


def test_a_warm_up_that_leaves_nothing_to_score_is_refused() -> None:
    assert [warmup_rows(n) for n in (100, 1_000, 10_000, 1_000_000)] == [32, 50, 500, 2_048]
    for warmup in (31, 100):
        with pytest.raises(ValueError, match="allowed: 32 to 99 of 100"):
            evaluate(SETTINGS, rows(100), warmup=warmup, seed=0)
