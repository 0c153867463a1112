"""Carries what live events have shown of the champion's cut over to the next version's."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from training.learn.calibrate import calibrate, with_inflation
from worker.core.model.threshold import Threshold

_OVERLAP_ROWS = 30
CHANCE = 1.0
"""Standard errors of the calibration that count as chance, where it calls for a higher cut than live events do."""
_MOST = 1.0
"""The largest logarithm of the factor. Beyond it the extrapolated tail is to blame, not the rows."""


def carry_over(
    threshold: Threshold,
    errors: npt.NDArray[np.float32],
    champion: Threshold,
    champion_errors: npt.NDArray[np.float32],
) -> Threshold:
    """The new version's threshold, corrected by how the champion's would look if calibrated on the same rows.

    `errors` and `champion_errors` (n,) float32 are those of the same held-out rows, under the new version and under the
    champion. By chance, or since the stream moves, these rows may have more or fewer large errors than live events
    have. The champion's cut is known from live events, so what the rows alone would say of it shows by which factor
    they mislead. The new cut is corrected by that factor to the power of the correlation, between 0 and 1, of being
    among the largest errors of the one and of the other: chance that the two do not share cannot be corrected.
    This is the regression estimator of survey sampling (Cochran, "Sampling techniques", 3rd edition, 1977, chapter 7).
    """
    rate = threshold.alert_rate
    alone = calibrate(champion_errors, bundle="", alert_rate=rate, created_at="")
    # Where the champion's cut is on its way to: the share beyond that one is the alert rate, as far as is known.
    cut = with_inflation(champion, champion.target).cut
    said = float(alone.held_out_p(np.array([cut], np.float32))[0])
    said = min(max(said, 1e-9), 1.0 - 1e-9)
    shared = _correlation(errors, champion_errors, max(rate, min(_OVERLAP_ROWS / len(errors), 0.25)))
    factor = math.log(rate * (1.0 - said) / (said * (1.0 - rate)))
    # Rows with more large errors than chance explains show the stream's latest: the cut is not lowered against them.
    factor = min(max(factor, -min(_MOST, CHANCE / math.sqrt(alone.evidence))), _MOST)
    inflation = math.exp(shared * factor + (1.0 - shared) * math.log(champion.target))
    variance = shared**2 / champion.evidence + (1.0 - shared**2) / threshold.evidence
    carried = threshold.model_copy(
        update={"evidence": max(1.0 / variance, 1e-6), "live_n": champion.live_n, "inflation": 1.0}
    )
    carried = with_inflation(carried, inflation)
    return carried.model_copy(update={"target": carried.inflation})


def _correlation(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], share: float) -> float:
    """The correlation of being among the largest `share` of (n,) and of (n,) errors of the same rows; at least 0."""
    first, second = (errors > np.quantile(errors, 1.0 - share) for errors in (one, other))
    if not first.any() or not second.any() or first.all() or second.all():
        return 0.0
    return float(max(np.corrcoef(first, second)[0, 1], 0.0))
