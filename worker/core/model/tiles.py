"""Fixed tiles: rows are scored in padded tiles of 256 by batched matrix products of one fixed shape.

So a row's error has the same bits in any batch, at any place in it and beside any neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

TILE = 256
COLUMN_MULTIPLE = 16
"""Matrices are padded to a multiple of this many columns. With fewer, BLAS sums a row in an order that depends on the
row's place in the tile, and so do the bits of the sum.
"""


def round_up(width: int) -> int:
    """`width` columns as padded: a positive multiple of `COLUMN_MULTIPLE`."""
    return max(-(-width // COLUMN_MULTIPLE), 1) * COLUMN_MULTIPLE


def to_tiles(rows: npt.NDArray[Any]) -> Tensor:
    """(n, k) rows to (T, 256, k), T at least 1; the last tile is padded with zeros. Shares memory if it is full."""
    n, k = rows.shape
    tiles = max(-(-n // TILE), 1)
    if n == tiles * TILE:
        return torch.from_numpy(rows).view(tiles, TILE, k)
    filled = np.zeros((tiles * TILE, k), rows.dtype)
    filled[:n] = rows
    return torch.from_numpy(filled).view(tiles, TILE, k)


def to_rows(tiles: Tensor) -> npt.NDArray[np.float32]:
    """(T, 256, k) to (256 T, k) float32; the rows that padded the last tile are still among them."""
    array: npt.NDArray[np.float32] = tiles.reshape(tiles.shape[0] * TILE, tiles.shape[2]).numpy()
    return array
