"""Ranking metrics: their values on rankings that are known, and None if they are undefined."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluate.ranking_metrics import ranking


def test_a_perfect_a_reversed_and_a_constant_ranking() -> None:
    labels = np.arange(1_000) >= 990
    perfect = ranking(labels, np.arange(1_000.0))
    assert perfect == {"roc_auc": 1.0, "pr_auc": 1.0, "best_f1": 1.0, "recall_at_1pct_fpr": 1.0}
    reverse = ranking(labels, -np.arange(1_000.0))
    assert (reverse["roc_auc"], reverse["recall_at_1pct_fpr"]) == (0.0, 0.0)
    constant = ranking(labels, np.zeros(1_000))
    assert constant["roc_auc"] == 0.5
    assert constant["pr_auc"] == pytest.approx(0.01)


def test_recall_counts_anomalies_above_the_score_that_one_normal_row_in_100_exceeds() -> None:
    """1,000 normal rows with scores 0 to 999: ten of them are above 989."""
    scores = np.concatenate([np.arange(1_000.0), [995.5, 990.5, 988.5, 100.5]])
    labels = np.arange(1_004) >= 1_000
    assert ranking(labels, scores)["recall_at_1pct_fpr"] == 0.5


def test_recall_counts_ties_that_end_at_the_limit() -> None:
    """Three groups of five normal rows and one anomaly tie: the second group ends at exactly 1 % false positives."""
    scores = np.concatenate([np.repeat([3.0, 2.0, 1.0], 6), np.zeros(986)])
    labels = np.zeros(1_004, np.bool_)
    labels[[5, 11, 17, 1_003]] = True
    assert ranking(labels, scores)["recall_at_1pct_fpr"] == 0.5


@pytest.mark.parametrize("labels", [None, np.zeros(5, np.bool_), np.ones(5, np.bool_)])
def test_without_two_classes_no_metric_is_defined(labels: np.ndarray[tuple[int], np.dtype[np.bool_]] | None) -> None:
    assert set(ranking(labels, np.arange(5.0)).values()) == {None}
