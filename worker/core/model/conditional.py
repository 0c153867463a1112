"""The conditional error: how unlikely each feature's value is, given all the other features, under one linear
Gaussian model of the encoded row.

With the location m and the precision P of the columns, the residual of a block B of columns given all others is
P_BB^-1 (P (y - m))_B: one matrix product gives those of every feature. Summed over features this is the
pseudo-likelihood of the row (Besag, "Statistical analysis of non-lattice data", The Statistician 24(3), 1975). A
feature's residual does not contain its own value, so it finds combinations that do not go together, and its conditional
mean is the expected value that an alert shows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.core.model.error_kernel import residual_parts
from worker.core.model.layout import Layout
from worker.core.model.tiles import TILE, flat, padded

COLUMNS_MOST = 512
"""The product costs the square of the columns; beyond this, records further back in the window are left out."""

PREFIX = "conditional."


def columns_of(layout: Layout) -> npt.NDArray[np.int64]:
    """(D,) int64: the columns of x that take part, those of the event itself first; masks take no part."""
    return layout.lagged(layout.own_columns, min(layout.window, max(1, COLUMNS_MOST // layout.outputs)))


class Conditional:
    """`location`, `spread` (D,), `matrix` (D, own columns) and `variance` (own columns,) as training fits them."""

    def __init__(self, layout: Layout, tensors: Mapping[str, Tensor]) -> None:
        """Raises ValueError for tensors that are missing or of other shapes."""
        columns, own = torch.from_numpy(columns_of(layout)), layout.outputs
        shapes = {"location": (len(columns),), "spread": (len(columns),),
                  "matrix": (len(columns), own), "variance": (own,)}  # fmt: skip
        parts = {}
        for name, shape in shapes.items():
            tensor = tensors.get(PREFIX + name)
            if tensor is None or tuple(tensor.shape) != shape or not torch.isfinite(tensor).all():
                raise ValueError(f"{PREFIX}{name}: not a finite tensor of shape {shape}")
            parts[name] = tensor.to(torch.float32)
        if not (bool((parts["spread"] > 0).all()) and bool((parts["variance"] > 0).all())):
            raise ValueError(f"{PREFIX}spread and {PREFIX}variance: not positive")
        wide = padded(own)
        # (y - m) M with y = (x - mean) / spread: one product with x itself, residuals in units of x.
        matrix = parts["matrix"] / parts["spread"][:, None] * parts["spread"][:own]
        self._matrix = torch.zeros(1, layout.inputs, wide)
        self._matrix[0, columns, :own] = matrix
        self._shift = torch.zeros(1, 1, wide)
        self._shift[0, 0, :own] = -(parts["location"] @ matrix)
        widths = torch.tensor([float(block.width) for block in layout.blocks for _ in range(block.width)])
        variance = parts["variance"] * parts["spread"][:own] ** 2
        self._weight: npt.NDArray[np.float32] = (0.5 / widths / variance).numpy()
        self._features = layout.table

    @torch.inference_mode()
    def residuals(self, x: Tensor) -> npt.NDArray[np.float32]:
        """(256 T, own columns padded) from x (T, 256, inputs): value minus conditional mean, in units of x."""
        return flat(torch.baddbmm(self._shift.expand(len(x), TILE, -1), x, self._matrix.expand(len(x), -1, -1)))

    def feature_errors(
        self, residuals: npt.NDArray[np.float32], codes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """(n, F) nats per feature, from 0 to `PART_MOST`; `codes` (n, C)."""
        parts = np.empty((len(codes), len(self._features)), np.float32)
        residual_parts(codes, residuals, self._weight, self._features, parts)
        return parts
