"""Counts the combinations of values: those that the champion has counted, and the rows that are new to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.core.model.combinations import BIN_SHARES, COUNTS, EDGES, Table, cells, scale_edges, tables_of
from worker.core.model.encoder import Encoded, Encoder
from worker.core.model.scaling import Scaling
from worker.core.model.vocabulary import Vocabulary

COUNTED_MOST = 50_000.0
"""Rows that a table remembers: when it has counted more, all of its counts shrink by the same factor."""
OUTSIDE_MOST = 0.3
"""With more than this share of the new rows beyond its outermost edges, a number has drifted out of its bins."""
_NEAR = 1e-4


class Counted(NamedTuple):
    """What a model has counted: its tensors, and the encoder that says what their cells are."""

    encoder: Encoder
    tensors: Mapping[str, Tensor]


def count_combinations(
    encoder: Encoder, every: Encoded, fresh: Encoded, parent: Counted | None = None
) -> dict[str, Tensor]:
    """The tensors of `worker.core.model.combinations.Combinations`: the parent's counts and those of the `fresh` rows.

    `every` are all rows of the fit. Without a parent, all of them are counted, and they set the bins of the numbers. A
    number that has drifted out of its bins gets new ones, and its tables begin anew.
    """
    edges, begun_anew = _edges(encoder, every), set(range(encoder.layout.features))
    if parent is not None:
        before = parent.tensors[EDGES].numpy()
        stays = _share_outside(encoder, before, fresh) <= OUTSIDE_MOST
        edges[stays] = before[stays]
        begun_anew = set(encoder.layout.numeric_features[~stays].tolist())
    of_every, of_fresh = cells(encoder, edges, every), cells(encoder, edges, fresh)
    known = {(table.left, table.right): table for table in tables_of(parent.encoder.layout)} if parent else {}
    counts = []
    for table in tables_of(encoder.layout):
        before_it = known.get((table.left, table.right))
        if parent is None or before_it is None or not begun_anew.isdisjoint((table.left, table.right)):
            joint = _count(table, of_every)
        else:
            joint = _count(table, of_fresh) + _carry(parent, encoder, before_it, table)
        counts.append(joint.ravel() * min(1.0, COUNTED_MOST / max(float(joint.sum()), 1.0)))
    together = np.concatenate(counts) if counts else np.zeros(0)
    return {COUNTS: torch.from_numpy(together.astype(np.float32)), EDGES: torch.from_numpy(edges)}


def _edges(encoder: Encoder, encoded: Encoded) -> npt.NDArray[np.float64]:
    """(K, 21) float64: the quantiles of each number's rows, in transformed units; missing values are left out."""
    layout = encoder.layout
    edges = np.zeros((len(layout.numeric_features), len(BIN_SHARES)))
    for row, (feature, start) in enumerate(zip(layout.numeric_features, layout.numeric_starts, strict=True)):
        values = encoded.x[~encoded.missing[:, feature], start].astype(np.float64)
        scaling = encoder.transforms[feature]
        assert isinstance(scaling, Scaling)
        if len(values):
            edges[row] = np.quantile(values, BIN_SHARES) * scaling.spread + scaling.centre
    return edges


def _share_outside(encoder: Encoder, edges: npt.NDArray[np.float64], encoded: Encoded) -> npt.NDArray[np.float64]:
    """(K,) the share of rows below the first or above the last edge of each number."""
    scaled, x = scale_edges(encoder, edges), encoded.x[:, encoder.layout.numeric_starts]
    if not len(x):
        return np.zeros(len(edges))
    present = ~encoded.missing[:, encoder.layout.numeric_features]
    below, above = (x < scaled[:, 0] - _NEAR) & present, (x > scaled[:, -1] + _NEAR) & present
    share: npt.NDArray[np.float64] = np.maximum(below.mean(0), above.mean(0))
    return share


def _count(table: Table, found: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(rows, columns) float64: how many of the rows, whose cells are `found` (n, F), fall into each cell of a table."""
    joint = np.zeros((table.rows, table.columns))
    columns = found[:, table.right] if table.right >= 0 else np.zeros(len(found), np.int64)
    np.add.at(joint, (found[:, table.left], columns), 1.0)
    return joint


def _carry(parent: Counted, encoder: Encoder, before: Table, table: Table) -> npt.NDArray[np.float64]:
    """The parent's counts in the cells of the new table: a level's go where its text is now."""
    counts = parent.tensors[COUNTS].numpy()[before.first : before.first + before.rows * before.columns]
    rows = _places(parent.encoder, encoder, table.left, before.rows)
    columns = _places(parent.encoder, encoder, table.right, before.columns) if table.right >= 0 else np.zeros(1, int)
    carried = np.zeros((table.rows, table.columns))
    np.add.at(carried, (rows[:, None], columns[None, :]), counts.reshape(before.rows, before.columns))
    return carried


def _places(old: Encoder, new: Encoder, feature: int, count: int) -> npt.NDArray[np.int64]:
    """For each of the old feature's `count` cells, its cell now: a level that has lost its place is `other`."""
    before, after = old.transforms[feature], new.transforms[feature]
    if not isinstance(before, Vocabulary) or not isinstance(after, Vocabulary) or after.buckets:
        return np.arange(count)
    other, now = len(after.top), {text: level for level, text in enumerate(after.top)}
    return np.array([*(now.get(text, other) for text in before.top), other, other + 1, other + 2])
