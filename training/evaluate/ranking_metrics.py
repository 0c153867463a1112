"""How well scores rank anomalies above normal rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

FALSE_POSITIVES = 0.01


def ranking(labels: npt.NDArray[np.bool_] | None, scores: npt.NDArray[Any]) -> dict[str, float | None]:
    """ROC-AUC, PR-AUC (average precision), best F1, and recall at no more than 1 % false positives, of n rows.

    Each is None if there are no labels, or only labels of one class.
    """
    names = ("roc_auc", "pr_auc", "best_f1", "recall_at_1pct_fpr")
    if labels is None or labels.all() or not labels.any():
        return dict.fromkeys(names)
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2.0 * precision * recall / np.maximum(precision + recall, 1e-12)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    found = (
        roc_auc_score(labels, scores),
        average_precision_score(labels, scores),
        f1.max(),
        true[false <= FALSE_POSITIVES].max(),
    )
    return {name: float(value) for name, value in zip(names, found, strict=True)}
