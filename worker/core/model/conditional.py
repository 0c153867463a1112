"""The conditional error: how unlikely each feature's value is given all the other features, under one linear Gaussian
model of the encoded row.

With the location m and the precision P of the columns, the residual of a block B of columns given all others is
P_BB^-1 (P (y - m))_B, so one matrix product gives the residuals of every feature. A row's error sums over its features
as a log pseudo-likelihood does (Besag, "Statistical analysis of non-lattice data", The Statistician 24(3), 1975). A
feature's conditional mean does not depend on its own value, so the error finds values that do not go together, and the
mean serves as the expected value that an alert shows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.core.model.error_kernel import residual_parts
from worker.core.model.layout import Layout
from worker.core.model.tiles import TILE, round_up, to_rows

COLUMNS_MOST = 512
"""A fit computes and inverts the covariance of the columns: beyond this many, it leaves out a window's earlier records.
"""
PREFIX = "conditional."


def columns_of(layout: Layout) -> npt.NDArray[np.int64]:
    """(D,) int64: the columns of the input that the model is about, the row's own columns first. Masks are left out."""
    return layout.lagged(layout.own_columns, min(layout.window, max(1, COLUMNS_MOST // layout.outputs)))


class Conditional:
    """The fitted model, ready to serve.

    Its tensors are float32 with D = len(columns_of(layout)) and K = layout.outputs: `location` (D,) and `spread` (D,)
    of the columns, `matrix` (D, K) and `variance` (K,) of the residuals in units of the spread.
    """

    def __init__(self, layout: Layout, tensors: Mapping[str, Tensor]) -> None:
        """Raises ValueError for tensors that are missing, have another shape, or hold values that no fit gives."""
        columns, own = torch.from_numpy(columns_of(layout)), layout.outputs
        found = _read_tensors(tensors, len(columns), own)
        spread, wide = found["spread"], round_up(own)
        # (y - m) M with y = (x - mean) / spread: one product with x itself, which gives residuals in units of x.
        matrix = found["matrix"] / spread[:, None] * spread[:own]
        self._matrix = torch.zeros(1, layout.inputs, wide)
        self._matrix[0, columns, :own] = matrix
        self._shift = torch.zeros(1, 1, wide)
        self._shift[0, 0, :own] = -(found["location"] @ matrix)
        widths = torch.tensor([float(block.width) for block in layout.blocks for _ in range(block.width)])
        self._weight: npt.NDArray[np.float32] = (0.5 / widths / (found["variance"] * spread[:own] ** 2)).numpy()
        self._features = layout.table

    @torch.inference_mode()
    def residuals(self, x: Tensor) -> npt.NDArray[np.float32]:
        """x (T, 256, inputs) to (256 T, own columns padded) float32: value minus conditional mean, in units of x."""
        return to_rows(torch.baddbmm(self._shift.expand(len(x), TILE, -1), x, self._matrix.expand(len(x), -1, -1)))

    def feature_errors(
        self, residuals: npt.NDArray[np.float32], codes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """(n, F) float32 nats per feature, from 0 to `PART_MOST`; `residuals` of at least n rows, `codes` (n, C)."""
        errors = np.empty((len(codes), len(self._features)), np.float32)
        residual_parts(codes, residuals, self._weight, self._features, errors)
        return errors


def _read_tensors(tensors: Mapping[str, Tensor], columns: int, own: int) -> dict[str, Tensor]:
    shapes = {"location": (columns,), "spread": (columns,), "matrix": (columns, own), "variance": (own,)}
    found = {}
    for name, shape in shapes.items():
        tensor = tensors.get(PREFIX + name)
        if tensor is None or tuple(tensor.shape) != shape or not torch.isfinite(tensor).all():
            raise ValueError(f"{PREFIX}{name}: not a finite tensor of shape {shape}")
        found[name] = tensor.to(torch.float32)
    if not (bool((found["spread"] > 0).all()) and bool((found["variance"] > 0).all())):
        raise ValueError(f"{PREFIX}spread and {PREFIX}variance: not positive")
    return found
