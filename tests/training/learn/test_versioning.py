"""Dividing a first model's rows."""

from __future__ import annotations

import numpy as np

from training.learn.versioning import split
from worker.core.events.columns import Columns


def test_every_fourth_block_of_a_32nd_is_held_out() -> None:
    fit, calibrate = split(Columns((np.arange(256.0),)))
    assert calibrate.values[0].tolist() == [row for row in range(256) if row % 32 >= 24]
    assert fit.values[0].tolist() == [row for row in range(256) if row % 32 < 24]


def test_few_rows_serve_for_both() -> None:
    fit, calibrate = split(Columns((np.arange(255.0),)))
    assert len(fit) == len(calibrate) == 255
