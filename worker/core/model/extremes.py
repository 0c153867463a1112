"""How far out the furthest number of a row is, whatever the rest of the row looks like.

A mean over many features drowns a single one that is wildly off. Beyond the 5 and the 95 % quantile, the surprise of a
number grows linearly, as that of an exponential tail does. Its rate is read between that quantile and the one ten times
as rare, and not from the mean excess, so that the anomalies among the rows do not stretch it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor

from worker.core.model.encoder import Encoded
from worker.core.model.layout import Layout
from worker.core.model.surprise_kernel import furthest

TABLE = "extremes.tails"
START, RARE = 0.05, 0.005
"""A tail begins at the first of these shares, and its rate is read between the two."""
MOST = 60.0
_AT_START = np.float32(-np.log(START))


class Extremes:
    """The fitted tails, ready to serve: (K, 4) float32, for each number where its lower tail starts, how many units of
    x are one nat there, and the same of its upper tail."""

    def __init__(self, layout: Layout, tensors: Mapping[str, Tensor]) -> None:
        """Raises ValueError for tails that are missing, of another shape, not finite, or not falling."""
        tails = tensors.get(TABLE)
        numbers = layout.numeric_features
        if tails is None or tuple(tails.shape) != (len(numbers), 4):
            raise ValueError(f"{TABLE}: not of shape ({len(numbers)}, 4)")
        self._tails: npt.NDArray[np.float32] = tails.numpy().astype(np.float32)
        if not (np.isfinite(self._tails).all() and (self._tails[:, [1, 3]] > 0).all()):
            raise ValueError(f"{TABLE}: not finite, or not falling")
        self._numbers, self._starts = numbers, layout.numeric_starts
        self._steepness = self._tails.copy()
        self._steepness[:, [1, 3]] = 1.0 / self._tails[:, [1, 3]]
        self._features = layout.features

    def feature_surprises(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        """(n, F) float32 nats, from 0 to `MOST`; 0 in the body of a number's values and for all that is no number."""
        found = np.zeros((len(encoded.x), self._features), np.float32)
        x = encoded.x[:, self._starts]
        low, low_steep, high, high_steep = self._steepness.T
        beyond = np.maximum((low - x) * low_steep, (x - high) * high_steep)
        surprise = np.where(beyond > 0, np.minimum(beyond + _AT_START, np.float32(MOST)), 0)
        found[:, self._numbers] = np.where(encoded.missing[:, self._numbers], 0, surprise)
        return found

    def surprises(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        """(n,) float32 nats: that of each row's furthest number."""
        found = np.empty(len(encoded.x), np.float32)
        furthest(
            encoded.x, encoded.missing, self._numbers, self._starts, self._steepness, _AT_START, np.float32(MOST), found
        )
        return found
