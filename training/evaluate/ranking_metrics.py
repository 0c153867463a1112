"""Metrics of how well scores rank anomalies above normal rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

MAX_FALSE_POSITIVE_RATE = 0.01


def ranking(labels: npt.NDArray[np.bool_] | None, scores: npt.NDArray[Any]) -> dict[str, float | None]:
    """ROC-AUC, PR-AUC (average precision), best F1, and recall at a false-positive rate of at most 1 %.

    `labels` and `scores` are (n,). Every metric is None if there are no labels, or only one class of them.
    """
    names = ("roc_auc", "pr_auc", "best_f1", "recall_at_1pct_fpr")
    if labels is None or labels.all() or not labels.any():
        return dict.fromkeys(names)
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2.0 * precision * recall / np.maximum(precision + recall, 1e-12)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    values = (
        roc_auc_score(labels, scores),
        average_precision_score(labels, scores),
        f1.max(),
        true[false <= MAX_FALSE_POSITIVE_RATE].max(),
    )
    return {name: float(value) for name, value in zip(names, values, strict=True)}
