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


def indicator(groups: Tensor, count: int) -> Tensor:
    """(1, n, padded count): sums columns by group in one matrix product; `groups` (n,) int64."""
    return torch.nn.functional.one_hot(groups, padded(count)).to(torch.float32)[None]


def linear(weight: Tensor, bias: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """A layer's weight (out, in) and bias (out,) as (1, rows, padded out) and (1, 1, padded out), zeros beyond."""
    wide = padded(weight.shape[0])
    full, base = torch.zeros(1, rows, wide), torch.zeros(1, 1, wide)
    full[0, : weight.shape[1], : weight.shape[0]] = weight.T
    base[0, 0, : len(bias)] = bias
    return full, base


def tiled(rows: npt.NDArray[Any]) -> Tensor:
    """(n, k) to (T, 256, k), the last tile padded with zeros."""
    n, k = rows.shape
    tiles = max(-(-n // TILE), 1)
    if n == tiles * TILE:
        return torch.from_numpy(rows).view(tiles, TILE, k)
    filled = np.zeros((tiles * TILE, k), rows.dtype)
    filled[:n] = rows
    return torch.from_numpy(filled).view(tiles, TILE, k)


def untiled(tiles: Tensor, n: int) -> npt.NDArray[np.float32]:
    """(T, 256, ...) back to (n, ...)."""
    array: npt.NDArray[np.float32] = tiles.reshape(tiles.shape[0] * TILE, *tiles.shape[2:])[:n].numpy()
    return array
