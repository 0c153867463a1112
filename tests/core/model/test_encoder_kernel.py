"""The compiled passes over numbers give the bits of the array operations that they replace."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.core.model.encoder_kernel import CELLS, cells_of_numbers, clip
from worker.core.model.scaling import CLIP

FLOATS = st.floats(width=64) | st.floats(-12.0, 12.0)


@settings(max_examples=300, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=20))
@example([CLIP, -CLIP, float("inf"), -float("inf"), float("nan"), -0.0, np.nextafter(CLIP, 11.0)])
def test_clipping_and_marking(values: list[float]) -> None:
    scaled = np.array([values, values[::-1]])
    x = np.zeros((len(values), 4), np.float32)
    missing, outside = np.zeros((len(values), 3), np.bool_), np.ones((len(values), 3), np.bool_)
    clip(scaled, np.array([2, 0]), np.array([1, 3]), np.array([2, -1]), x, missing, outside)
    for column, feature, start in zip(scaled, (2, 0), (1, 3), strict=True):
        absent = np.isnan(column)
        wanted = np.clip(np.where(absent, 0.0, column), -CLIP, CLIP).astype(np.float32)
        assert x[:, start].tobytes() == wanted.tobytes()
        assert missing[:, feature].tolist() == absent.tolist()
        assert outside[:, feature].tolist() == (~(np.abs(column) <= CLIP) & ~absent).tolist()
    assert x[:, 2].tolist() == np.isnan(scaled[0]).tolist()
    assert not x[:, 0].any()
    assert outside[:, 1].all()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(-CLIP, CLIP, width=32), min_size=1, max_size=20), st.integers(0, 2**20 - 1))
@example([CLIP, -CLIP, -0.0, 0.0], 0)
def test_cells(values: list[float], gone: int) -> None:
    x = np.array([values, values[::-1]], np.float32).T.copy()
    missing = np.array([[False, bool(gone >> i & 1)] for i in range(len(values))])
    found = np.full((len(values), 2), -7)
    cells_of_numbers(x, missing, np.array([1]), np.array([1]), found)
    wanted = np.minimum(((x[:, 1] + CLIP) * (CELLS / (2.0 * CLIP))).astype(np.int64), CELLS - 1)
    wanted[missing[:, 1]] = CELLS
    assert found[:, 1].tolist() == wanted.tolist()
    assert (found[:, 0] == -7).all()
