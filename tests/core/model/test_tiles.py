"""Tiles: any number of rows, and back."""

from __future__ import annotations

import numpy as np
import pytest

from worker.core.model.tiles import TILE, round_up, to_rows, to_tiles


@pytest.mark.parametrize(("width", "padded"), [(0, 16), (1, 16), (16, 16), (17, 32), (100, 112)])
def test_widths_are_rounded_up_to_multiples_of_16(width: int, padded: int) -> None:
    assert round_up(width) == padded


@pytest.mark.parametrize(("rows", "tiles"), [(0, 1), (1, 1), (TILE, 1), (TILE + 1, 2), (3 * TILE, 3)])
def test_rows_come_back_in_order_and_zeros_after_them(rows: int, tiles: int) -> None:
    values = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
    tiled = to_tiles(values)
    assert tuple(tiled.shape) == (tiles, TILE, 5)
    back = to_rows(tiled)
    assert (back[:rows] == values).all()
    assert not back[rows:].any()
