"""The marginal error: how far out each feature's value lies among those of training, whatever the other features are.

For a number it is the negative log of its two-sided tail probability, as in ECOD (Li et al., TKDE 2022), read from a
fine table over the scaled range. For a category it is the negative log of its frequency; for a time, of its density
relative to the densest part of the period; for a missing value, of how often the feature was missing in training.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.core.model.encoder import Encoded
from worker.core.model.encoder_kernel import CELLS, cells_of_numbers
from worker.core.model.layout import Block, Layout

ARCS = 24
"""Parts of a period in the table: an hour each if the period is a day."""
TABLE = "marginal.table"


def sizes(layout: Layout) -> list[int]:
    """The number of entries of each feature in the table; the last entry of a number or time is for missing values."""
    entries = {"numeric": CELLS + 1, "cyclic": ARCS + 1}
    return [block.levels if block.kind == "categorical" else entries[block.kind] for block in layout.blocks]


def cells(layout: Layout, encoded: Encoded) -> npt.NDArray[np.int64]:
    """(n, F) int64: the entry among its feature's that each value falls into; with a window, the newest record's."""
    found = np.empty((len(encoded.x), layout.features), np.int64)
    cells_of_numbers(encoded.x, encoded.missing, layout.numeric_features, layout.numeric_starts, found)
    for block in layout.blocks:
        if block.kind == "categorical":
            found[:, block.feature] = encoded.codes[:, block.code]
        elif block.kind == "cyclic":
            found[:, block.feature] = arcs_of(block, encoded)
    return found


def arcs_of(block: Block, encoded: Encoded) -> npt.NDArray[np.int64]:
    """(n,) int64: the arc of each value of a time, `ARCS` where it is missing."""
    turns = np.arctan2(encoded.x[:, block.start], encoded.x[:, block.start + 1]) / (2.0 * np.pi) % 1.0
    arcs = np.minimum((turns * ARCS).astype(np.int64), ARCS - 1)
    return np.where(encoded.missing[:, block.feature], ARCS, arcs)


class Marginal:
    """The fitted table, ready to serve: float32 nats, the entries of all features one after the other."""

    def __init__(self, layout: Layout, tensors: Mapping[str, Tensor]) -> None:
        """Raises ValueError for a table that is missing, of another length, negative or not finite."""
        counts = sizes(layout)
        table = tensors.get(TABLE)
        if table is None or tuple(table.shape) != (sum(counts),):
            raise ValueError(f"{TABLE}: not of shape ({sum(counts)},)")
        if not bool((torch.isfinite(table) & (table >= 0)).all()):
            raise ValueError(f"{TABLE}: values that are no -log probabilities")
        self._layout = layout
        self._table: npt.NDArray[np.float32] = table.to(torch.float32).numpy()
        self._first = np.cumsum([0, *counts[:-1]])

    def feature_errors(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        """(n, F) float32 nats per feature."""
        errors: npt.NDArray[np.float32] = self._table[cells(self._layout, encoded) + self._first]
        return errors
