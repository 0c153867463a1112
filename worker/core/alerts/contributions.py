"""Why events were flagged: the features that contributed most to the error, for a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.core.alerts.alert import Contribution, Level
from worker.core.alerts.redaction import plain
from worker.core.events.columns import Columns
from worker.core.model.detector import Detector, Scores

_SHARE_STEPS = 1_000_000


def explain(
    detector: Detector, scores: Scores, columns: Columns, rows: npt.NDArray[np.intp]
) -> list[list[Contribution]]:
    """The contributions to the errors of some `rows` of what was scored; `columns` are those of all scored rows."""
    why, newest, encoder = detector.explain(scores, rows), columns.take(rows).newest(), detector.encoder
    return contributions(
        encoder.spec.names,
        why.per_feature,
        lambda feature: (encoder.actual(feature, newest), detector.expected(feature, why.expected)),
    )


def contributions(
    names: Sequence[str],
    per_feature: npt.NDArray[np.float32],
    described: Callable[[int], tuple[Sequence[Any], Sequence[Any]]],
    top: int = 5,
) -> list[list[Contribution]]:
    """The features that contributed most to the error of each of n rows, largest first, ties in order of the spec.

    `names` (F,) and `per_feature` (n, F) >= 0. `described(feature)` returns the rows' actual and expected values of one
    feature. Shares are of the error over all features, rounded down to a millionth; a share of 0 is left out.
    """
    weights = np.asarray(per_feature, np.float64)
    order = np.argsort(-weights, axis=1, kind="stable")[:, :top]
    totals = np.maximum(weights.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    shares = np.floor(np.take_along_axis(weights, order, 1) / totals * _SHARE_STEPS) / _SHARE_STEPS
    values = {feature: described(feature) for feature in np.unique(order).tolist()}
    return [
        [
            _contribution(names[feature], values[feature][0][row], values[feature][1][row], share)
            for feature, share in zip(features, row_shares, strict=True)
            if share > 0
        ]
        for row, (features, row_shares) in enumerate(zip(order.tolist(), shares.tolist(), strict=True))
    ]


def _contribution(name: str, actual: Any, expected: Any, share: float) -> Contribution:
    if isinstance(expected, list):
        expected = tuple(Level(plain(level["value"]), level["probability"]) for level in expected)
    else:
        expected = plain(expected)
    return Contribution(name, plain(actual), expected, share)
