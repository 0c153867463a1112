"""Fits what answers to a single value that is off: the counts of combinations, the tails, and their alignment."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.core.model.alignment import PREFIX
from worker.core.model.combinations import BIN_SHARES, COUNTS, EDGES, Table, cells, tables_of
from worker.core.model.detector import Detector
from worker.core.model.encoder import Encoded, Encoder
from worker.core.model.extremes import RARE, START, TABLE
from worker.core.model.layout import Layout
from worker.core.model.scaling import Scaling
from worker.core.model.vocabulary import Vocabulary

COUNTED_MOST = 50_000.0
"""Rows that a table remembers: when it has counted more, all counts shrink by the same factor."""
_LEAST_UNITS = 0.05
_OUTSIDE_MOST = 0.3
"""With more than this share of the new rows beyond one of its outermost edges, a number has drifted out of its bins."""
_NATS = np.array([1.6, 2.3, 3.0, 3.5, 4.0, 4.6, 5.3, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 14.0, 16.0, 20.0, 25.0])
_LEAST_ROWS = 5.0
_TIED = 1e-6
NEVER = 1e6
"""A surprise that no row has: an alignment that begins here never counts."""
_PER_NAT = (0.02, 1.0)
_TAIL = 0.05
_TAIL_LEAST = 20


def fit_tails(layout: Layout, encoded: Encoded) -> dict[str, Tensor]:
    """Fit the tensors of `worker.core.model.extremes.Extremes` on n encoded rows."""
    x = encoded.x[:, layout.numeric_starts].astype(np.float64)
    if not x.shape[1]:
        return {TABLE: torch.zeros(0, 4)}
    rare_low, low, high, rare_high = np.quantile(x, (RARE, START, 1.0 - START, 1.0 - RARE), axis=0)
    nats = np.log(START / RARE)
    per_low, per_high = (np.maximum(width / nats, _LEAST_UNITS) for width in (low - rare_low, rare_high - high))
    return {TABLE: torch.from_numpy(np.stack((low, per_low, high, per_high), 1).astype(np.float32))}


def count_combinations(encoder: Encoder, fresh: Encoded, every: Encoded, parent: Detector | None) -> dict[str, Tensor]:
    """The tensors of `worker.core.model.combinations.Combinations`: the parent's counts and those of `fresh` rows.

    `every` are all rows of the fit. Without a parent, all of them are counted, and they set the bins of the numbers. A
    number that has drifted out of its bins gets new ones, and its tables begin anew.
    """
    layout, tables = encoder.layout, tables_of(encoder.layout)
    anew = np.ones(layout.features, np.bool_)
    edges = _edges(encoder, every)
    if parent is not None:
        before = parent.combinations.edges
        found = cells(encoder, before, fresh)[:, layout.numeric_features]
        outside = np.stack([(found == 0).mean(0), (found == len(BIN_SHARES)).mean(0)]).max(0) if len(fresh.x) else 0.0
        kept = np.broadcast_to(outside, len(before)) <= _OUTSIDE_MOST
        edges[kept] = before[kept]
        anew[:] = False
        anew[layout.numeric_features[~kept]] = True
    counts = np.zeros(sum(table.rows * table.columns for table in tables))
    places = {True: cells(encoder, edges, every), False: cells(encoder, edges, fresh)}
    old = {(table.left, table.right): table for table in tables_of(parent.encoder.layout)} if parent else {}
    for table in tables:
        inherits = not (anew[table.left] or (table.right >= 0 and anew[table.right]))
        known = old.get((table.left, table.right))
        inherited = inherits and known is not None and parent is not None
        found = places[not inherited]
        right = found[:, table.right] if table.right >= 0 else 0
        joint = np.bincount(found[:, table.left] * table.columns + right, minlength=table.rows * table.columns) * 1.0
        if inherited and known is not None and parent is not None:
            joint += _carry(parent, encoder, known, table).ravel()
        total = joint.sum()
        counts[table.first : table.first + len(joint)] = joint * min(1.0, COUNTED_MOST / max(total, 1.0))
    return {COUNTS: torch.from_numpy(counts.astype(np.float32)), EDGES: torch.from_numpy(edges)}


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


def _carry(parent: Detector, encoder: Encoder, known: Table, table: Table) -> npt.NDArray[np.float64]:
    """The parent's counts in the cells of the new table: levels go where their texts are now."""
    counts = parent.tensors[COUNTS].numpy().astype(np.float64)
    joint = counts[known.first : known.first + known.rows * known.columns].reshape(known.rows, known.columns)
    moved = np.zeros((table.rows, known.columns))
    np.add.at(moved, _places(parent.encoder, encoder, table.left, known.rows), joint)
    carried = np.zeros((table.columns, table.rows))
    columns = (
        _places(parent.encoder, encoder, table.right, known.columns) if table.right >= 0 else np.zeros(1, np.int64)
    )
    np.add.at(carried, columns, moved.T)
    return carried.T


def _places(old: Encoder, new: Encoder, feature: int, count: int) -> npt.NDArray[np.int64]:
    """For each of the old feature's cells, its cell now: a level that is no longer among the top ones is `other`."""
    before, after = old.transforms[feature], new.transforms[feature]
    if not isinstance(before, Vocabulary) or not isinstance(after, Vocabulary) or after.buckets:
        return np.arange(count)
    other = len(after.top)
    now = {text: level for level, text in enumerate(after.top)}
    return np.array([*(now.get(text, other) for text in before.top), other, other + 1, other + 2])


def align(
    name: str, errors: npt.NDArray[np.float32], surprises: npt.NDArray[np.float32], behind: float
) -> dict[str, Tensor]:
    """Fit the points of an `Alignment` on (n,) errors and (n,) surprises of rows that the fit has not seen.

    A surprise counts as `behind` nats more common than it is: what answers to one value alone must be rarer, because a
    row has many values.
    """
    logs, values = np.log(errors.astype(np.float64)), np.log(surprises.astype(np.float64) + 1.0)
    points: list[tuple[float, float]] = []
    for level in _NATS.tolist():
        value = _at(values, level)
        # Where many rows share a surprise, it is as common as all of them.
        nats = min(level, -float(np.log((values >= value - _TIED).mean() + 1e-9)))
        point = float(np.exp(value)) - 1.0, _at(logs, max(nats - behind, 0.0))
        if nats >= _NATS[0] - 0.1 and (not points or point[0] > points[-1][0] + _TIED):
            points.append((point[0], max(point[1], points[-1][1]) if points else point[1]))
    if len(points) < 2:
        points = [(NEVER, 0.0), (2.0 * NEVER, 0.0)]
    return {PREFIX + name: torch.tensor(points, dtype=torch.float64)}


def _at(values: npt.NDArray[np.float64], nats: float) -> float:
    """The value that a share exp(-nats) of (n,) values reaches. Where fewer than five would, it goes on linearly: an
    exponential tail, with the median excess of the largest 5 %, which a few anomalies among them hardly move.
    """
    n = len(values)
    deepest = float(np.log(n / _LEAST_ROWS))
    if nats <= deepest:
        return float(np.quantile(values, 1.0 - float(np.exp(-nats))))
    ordered = np.sort(values)
    tail = ordered[-max(int(_TAIL * n), min(_TAIL_LEAST, n - 1)) - 1 :]
    per_nat = float(np.clip((np.median(tail) - tail[0]) / np.log(2.0), *_PER_NAT))
    return float(np.quantile(values, 1.0 - _LEAST_ROWS / n)) + per_nat * (nats - deepest)
