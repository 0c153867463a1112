"""Where each feature's columns lie in everything that a model computes: the table that the compiled parts take."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from worker.core.model.encoder import Encoder
from worker.core.model.error_kernel import CODE, OUT, OWN, START, UNSEEN, WIDTH


def feature_table(encoder: Encoder) -> npt.NDArray[np.int64]:
    """(F, 6) int64, columns as `worker.core.model.error_kernel` names them."""
    blocks = encoder.blocks
    table = np.empty((len(blocks), 6), np.int64)
    values = logits = 0
    for block in blocks:
        row = table[block.feature]
        row[START], row[WIDTH], row[CODE], row[UNSEEN] = block.start, block.width, block.code, block.unseen
        row[OWN] = values + logits
        if block.kind == "categorical":
            row[OUT], logits = logits, logits + block.width
        else:
            row[OUT], values = values, values + block.width
    return table
