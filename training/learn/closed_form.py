"""Fits the conditional and the marginal error, in closed form, from the rows that the autoencoder is trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.learn.robust import scatter
from worker.core.model.conditional import PREFIX, columns_of
from worker.core.model.encoder import Encoded
from worker.core.model.layout import Layout
from worker.core.model.marginal import TABLE, cells, sizes

RIDGE, RIDGE_MOST = 2.0, 0.4
"""The ridge is `RIDGE` times the square root of columns over rows, at most `RIDGE_MOST`: the fewer rows there are, the
less they can tell a correlation from none.
"""
_LEAST_SPREAD_VALUE, _LEAST_SPREAD_LEVEL = 0.05, 0.1


def fit_conditional(layout: Layout, encoded: Encoded) -> dict[str, Tensor]:
    """Fit the tensors of `worker.core.model.conditional.Conditional` on n encoded rows."""
    columns = columns_of(layout)
    x = encoded.x[:, columns].astype(np.float64)
    levels = np.repeat([block.kind == "categorical" for block in layout.blocks], [b.width for b in layout.blocks])
    levels = np.tile(levels, len(columns) // layout.outputs)
    mean = x.mean(0)
    spread = np.maximum(x.std(0), np.where(levels, _LEAST_SPREAD_LEVEL, _LEAST_SPREAD_VALUE))
    y = (x - mean) / spread
    location, precision = scatter(y, min(RIDGE_MOST, RIDGE * float(np.sqrt(len(columns) / len(x)))))
    matrix, variance = np.zeros((len(columns), layout.outputs)), np.zeros(layout.outputs)
    for block in layout.blocks:
        inside = block.own_slice
        inverse = np.linalg.inv(precision[inside, inside])
        matrix[:, inside] = precision[:, inside] @ inverse
        variance[inside] = np.diag(inverse)
    fitted = {"location": mean + location * spread, "spread": spread, "matrix": matrix, "variance": variance}
    return {PREFIX + name: torch.from_numpy(array.astype(np.float32)) for name, array in fitted.items()}


def fit_marginal(layout: Layout, encoded: Encoded) -> dict[str, Tensor]:
    """Fit the table of `worker.core.model.marginal.Marginal` on n encoded rows.

    Every entry begins with half a row, so that none has the probability 0.
    """
    found = cells(layout, encoded)
    n = len(found)
    table = []
    for block, entries in zip(layout.blocks, sizes(layout), strict=True):
        counts = np.bincount(found[:, block.feature], minlength=entries).astype(np.float64)
        if block.kind == "categorical":
            table.append(-np.log((counts + 0.5) / (n + 0.5 * entries)))
            continue
        values, missing = counts[:-1], counts[-1]
        if block.kind == "numeric":
            below = np.cumsum(values)
            above = below[-1] - below + values
            tail = 2.0 * (np.minimum(below, above) + 0.5) / (below[-1] + 1.0)
            surprise = -np.log(np.minimum(tail, 1.0))
        else:
            surprise = -np.log((values + 0.5) / (values.max() + 0.5))
        table.append(np.append(surprise, -np.log((missing + 0.5) / (n + 1.0))))
    return {TABLE: torch.from_numpy(np.maximum(np.concatenate(table), 0.0).astype(np.float32))}
