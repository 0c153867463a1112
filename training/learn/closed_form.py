"""Fits what stands beside the autoencoder: the conditional and the marginal error. Both in closed form, from the same
encoded rows.
"""

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
"""Times the square root of columns over rows: a correlation is believed as far as the rows can tell it from none."""
_LEAST_SPREAD_VALUE, _LEAST_SPREAD_LEVEL = 0.05, 0.1


def fit_conditional(layout: Layout, encoded: Encoded) -> dict[str, Tensor]:
    """The tensors of `worker.core.model.conditional.Conditional`, from n encoded rows."""
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
    """The table of `worker.core.model.marginal.Marginal`, from n encoded rows."""
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
