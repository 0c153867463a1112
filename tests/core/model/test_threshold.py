"""Thresholds: p-values, verdicts and scores, against a distribution small enough to compute by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.model.histogram import bucket_of
from worker.core.model.tail import Tail
from worker.core.model.threshold import Provenance, Threshold, inflate, score_of, severity_of

# 60 of 100 errors lie in [1, 1 + 1/32), 40 in [2, 2 + 1/16).
HISTOGRAM = ((640, 60), (672, 40))
PROVENANCE = Provenance(kind="calibration", created_at="2026-01-01T00:00:00Z", reason="test")
PLAIN = Threshold(
    bundle="b", alert_rate=0.01, cut=1.5, n=100, histogram=HISTOGRAM, tail=None, inflation=1.0, provenance=PROVENANCE
)
TAILED = PLAIN.model_copy(update={"tail": Tail(start=2.0, shape=0.0, scale=1.0, share=0.1)})
FLOOR = 1 / 2_000


def array(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, np.float32)


def test_p_values_are_interpolated_within_a_bucket() -> None:
    errors = array(0.5, 1.0, 1.0 + 1 / 64, 1.5, 2.0, 2.0 + 1 / 32, 3.0)
    expected = [1.0, 1.0, 0.7, 0.4, 0.4, 0.2, 0.0]
    assert PLAIN.held_out_p(errors) == pytest.approx(expected)
    assert PLAIN.p_values(errors) == pytest.approx([*expected[:-1], FLOOR])


def test_beyond_its_start_the_tail_counts_and_before_it_p_is_at_least_its_share() -> None:
    assert TAILED.held_out_p(array(1.5, 3.0, 4.0)) == pytest.approx([0.4, 0.1 * np.exp(-1), 0.1 * np.exp(-2)])
    later = PLAIN.model_copy(update={"tail": Tail(start=2.5, shape=0.0, scale=1.0, share=0.1)})
    assert later.held_out_p(array(2.0 + 1 / 32, 2.25, 2.5)) == pytest.approx([0.2, 0.1, 0.1])


def test_inflation_multiplies_the_odds() -> None:
    assert inflate(np.array([0.0, 0.2, 0.5, 1.0]), 2.0) == pytest.approx([0.0, 1 / 3, 2 / 3, 1.0])
    twice = PLAIN.model_copy(update={"inflation": 2.0})
    assert twice.p_values(array(2.0 + 1 / 32))[0] == pytest.approx(1 / 3)
    assert twice.held_out_p(array(2.0 + 1 / 32))[0] == pytest.approx(0.2)


@given(st.floats(1e-9, 1.0 - 1e-9), st.floats(0.01, 100.0))
def test_the_inverse_inflation_undoes_it(p: float, inflation: float) -> None:
    assert inflate(inflate(np.array([p]), inflation), 1.0 / inflation)[0] == pytest.approx(p, rel=1e-6)


def test_p_buckets_are_those_of_the_held_out_p_values() -> None:
    twice = PLAIN.model_copy(update={"inflation": 2.0})
    assert twice.p_buckets(array(0.5, 1.5, 3.0)).tolist() == bucket_of(array(1.0, 0.4, 0.0)).tolist()


def test_an_error_above_the_cut_is_flagged_and_one_at_the_cut_is_not() -> None:
    above = float(np.nextafter(np.float32(1.5), np.float32(2.0)))
    assert PLAIN.flag(array(1.4, 1.5, above, 1e30)).tolist() == [False, False, True, True]


def test_the_error_of_a_p_value_is_the_first_bucket_edge_that_reaches_it() -> None:
    assert PLAIN.error_at(0.4) == 1.0 + 1 / 32
    assert PLAIN.error_at(0.399) == 2.0 + 1 / 16
    assert PLAIN.error_at(FLOOR / 2) == 2.0**20, "no p-value is below the floor"


def test_the_largest_twentieth_of_the_errors_is_beyond_the_training_cut() -> None:
    assert PLAIN.training_cut() == 2.0 + 1 / 16
    half = TAILED.model_copy(update={"tail": Tail(start=2.0, shape=0.0, scale=1.0, share=0.5)})
    # 0.5 exp(-(x - 2)) = 0.05 at x = 2 + log(10) = 4.30; buckets are 1/8 wide there.
    assert half.training_cut() == 4.375
    assert half.model_copy(update={"inflation": 4.0}).training_cut() > 4.375


def test_scores_and_severities() -> None:
    assert score_of(np.array([1.0, 0.1, 1e-4, 1e-6, 1e-12])).tolist() == [0.0, 12.5, 50.0, 75.0, 100.0]
    severities = [severity_of(score) for score in (0, 24.9, 25, 49.9, 50, 74.9, 75, 100)]
    assert severities == ["warning"] * 2 + ["minor"] * 2 + ["major"] * 2 + ["critical"] * 2


def test_a_digest_names_the_content() -> None:
    again = Threshold.model_validate_json(TAILED.to_bytes())
    assert again == TAILED
    assert again.digest() == TAILED.digest()
    assert len({threshold.digest() for threshold in (PLAIN, TAILED, PLAIN.model_copy(update={"cut": 1.6}))}) == 3
