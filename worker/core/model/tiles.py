"""Fixed tiles: rows are scored in padded tiles of 256 by batched matrix products of one fixed shape, so that a row's
error has the same bits in any batch, at any place in it, beside any neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

TILE = 256
LANES = 16
"""Matrix products are padded to a multiple of this many columns: with fewer, BLAS sums a row in an order that depends
on the row's place in the tile, and its bits with it.
"""


def padded(width: int) -> int:
    return max(-(-width // LANES), 1) * LANES


def tiled(rows: npt.NDArray[Any]) -> Tensor:
    """(n, k) to (T, 256, k), the last tile padded with zeros."""
    n, k = rows.shape
    tiles = max(-(-n // TILE), 1)
    if n == tiles * TILE:
        return torch.from_numpy(rows).view(tiles, TILE, k)
    filled = np.zeros((tiles * TILE, k), rows.dtype)
    filled[:n] = rows
    return torch.from_numpy(filled).view(tiles, TILE, k)


def flat(tiles: Tensor) -> npt.NDArray[np.float32]:
    """(T, 256, k) to (256 T, k): the rows of `tiled`, those that filled the last tile included."""
    array: npt.NDArray[np.float32] = tiles.reshape(tiles.shape[0] * TILE, tiles.shape[2]).numpy()
    return array
