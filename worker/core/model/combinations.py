"""How surprising a level is, by itself and beside each other value of the row, from counts of the rows so far.

An autoencoder of a few hundred steps does not learn that two levels never go together; a table of counts knows. There
is a table for each categorical feature, and one for each pair of a categorical with another feature, whose numbers are
cut into bins and whose times into arcs. The surprise of a value a beside a value b is -log of

    (count(a, b) + 4 p(a)) / (count(b) + 4),    p(a) = (count(a) + 1/2) / (n + levels/2).

Beside many identifiers nearly every combination is new, beside two methods of payment hardly any. So each table's
surprises are read as ranks: -log of the share of the counted rows whose surprise was as large when their own count was
left out. A cell that was never seen is thus as surprising as the cells that one row alone has seen are rare, the
estimate of Good ("The population frequencies of species", Biometrika 40, 1953).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from worker.core.model.encoder import Encoded, Encoder
from worker.core.model.layout import Layout
from worker.core.model.marginal import ARCS, arcs_of
from worker.core.model.scaling import Scaling
from worker.core.model.surprise_kernel import (
    ARC,
    FIRST,
    LEFT,
    LEVEL,
    NUMBER,
    RIGHT,
    SIDE,
    bin_numbers,
    largest,
)

COUNTS, EDGES = "combinations.counts", "combinations.edges"
BIN_SHARES = (0.002, 0.01, 0.03, *(i / 16 for i in range(1, 16)), 0.97, 0.99, 0.998)
"""The quantiles at which a number is cut into bins; one more bin is for missing values."""
CELLS_MOST, CELLS_IN_ALL = 5_000, 150_000
"""Larger tables are left out, and the largest ones if all together have too many cells."""
PRIOR = 4.0
_LEAST_DEPENDENCE = 0.05
_LEAST_ENTROPY = 0.02
_LEVEL_PRIOR = 0.5


@dataclass(frozen=True, slots=True)
class Table:
    """The counts of `rows` x `columns` cells, from the cell `first` on; `right` is -1 for a table of one feature.

    `both` says whether the column is surprising beside the row as well. A time of day is not: a stream that has not
    covered its period yet would be surprising all the time.
    """

    left: int
    right: int
    first: int
    rows: int
    columns: int
    both: bool


def tables_of(layout: Layout) -> list[Table]:
    """The tables that a layout has room for: those of one feature, then of two, smaller ones first."""
    sizes = [_size(block.kind, block.levels) for block in layout.blocks]
    levels = [block.feature for block in layout.categorical]
    pairs = [(f, g) for f in levels for g in range(layout.features) if g != f and not (g in levels and g < f)]
    pairs.sort(key=lambda pair: (sizes[pair[0]] * sizes[pair[1]], pair))
    tables, first = [], 0
    for left, right in [*((f, -1) for f in levels), *pairs]:
        rows, columns = sizes[left], sizes[right] if right >= 0 else 1
        if rows * columns <= CELLS_MOST and first + rows * columns <= CELLS_IN_ALL:
            both = right >= 0 and layout.blocks[right].kind != "cyclic"
            tables.append(Table(left, right, first, rows, columns, both))
            first += rows * columns
    return tables


def _size(kind: str, levels: int) -> int:
    return levels if kind == "categorical" else (ARCS + 1 if kind == "cyclic" else len(BIN_SHARES) + 2)


def cells(encoder: Encoder, edges: npt.NDArray[np.float64], encoded: Encoded) -> npt.NDArray[np.int64]:
    """(n, F) int64: the level, bin or arc of each value. `edges` (K, 21) of the numbers, in transformed units."""
    layout = encoder.layout
    found = np.empty((len(encoded.x), layout.features), np.int64)
    scaled = scale_edges(encoder, edges)
    bin_numbers(encoded.x, encoded.missing, layout.numeric_features, layout.numeric_starts, scaled, found)
    for block in layout.blocks:
        if block.kind == "categorical":
            found[:, block.feature] = encoded.codes[:, block.code]
        elif block.kind == "cyclic":
            found[:, block.feature] = arcs_of(block, encoded)
    return found


def scale_edges(encoder: Encoder, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """(K, 21) edges in transformed units to units of x."""
    scaled = np.empty(edges.shape, np.float32)
    for row, feature in enumerate(encoder.layout.numeric_features.tolist()):
        scaling = encoder.transforms[feature]
        assert isinstance(scaling, Scaling)
        scaled[row] = (edges[row] - scaling.centre) / scaling.spread
    return scaled


def _used_features(layout: Layout, tables: list[Table]) -> tuple[list[int], npt.NDArray[np.int64]]:
    """The times among the features in these tables, and all of these features as `largest` takes them, (U, 3)."""
    features = sorted({feature for table in tables for feature in (table.left, table.right) if feature >= 0})
    times = [feature for feature in features if layout.blocks[feature].kind == "cyclic"]
    numbers = layout.numeric_features.tolist()
    used = []
    for feature in features:
        block = layout.blocks[feature]
        if block.kind == "categorical":
            used.append((feature, LEVEL, block.code))
        elif block.kind == "cyclic":
            used.append((feature, ARC, times.index(feature)))
        else:
            used.append((feature, NUMBER, numbers.index(feature)))
    return times, np.array(used, np.int64).reshape(-1, 3)


class Combinations:
    """The counts, ready to serve."""

    def __init__(self, encoder: Encoder, tensors: Mapping[str, Tensor]) -> None:
        """Raises ValueError for counts or edges that are missing, of another shape, negative, or not finite."""
        self._encoder = encoder
        layout = encoder.layout
        tables = tables_of(layout)
        total = sum(table.rows * table.columns for table in tables)
        counts = _read(tensors, COUNTS, (total,))
        self.edges: npt.NDArray[np.float64] = _read(tensors, EDGES, (len(layout.numeric_features), len(BIN_SHARES)))
        if (counts < 0).any() or (np.diff(self.edges) < 0).any():
            raise ValueError(f"{COUNTS} and {EDGES}: negative counts, or edges out of order")
        self._served = [(table, surprise) for table in tables if (surprise := _surprises(counts, table)) is not None]
        self._places = np.zeros((len(self._served), 4), np.int64)
        first = 0
        for place, (table, _) in zip(self._places, self._served, strict=True):
            place[[LEFT, RIGHT, FIRST, SIDE]] = table.left, table.right, first, table.columns
            first += table.rows * table.columns
        self._times, self._used = _used_features(layout, [table for table, _ in self._served])
        starts = layout.numeric_starts[:, None].astype(np.float32)
        self._edges_in_x = np.hstack((scale_edges(encoder, self.edges), starts))
        parts = [surprise.ravel() for _, surprise in self._served]
        self._surprise = np.concatenate([*parts, np.zeros(1)]).astype(np.float32)

    def cells(self, encoded: Encoded) -> npt.NDArray[np.int64]:
        """(n, F) int64: the level, bin or arc of each value."""
        return cells(self._encoder, self.edges, encoded)

    def surprises(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        """(n,) float32 nats: the largest surprise of each row's tables, 0 without tables."""
        found = np.zeros(len(encoded.x), np.float32)
        if self._served:
            arcs = [arcs_of(self._encoder.layout.blocks[feature], encoded) for feature in self._times]
            of_rows = np.stack(arcs, 1) if arcs else np.empty((len(found), 0), np.int64)
            largest(
                encoded.x,
                encoded.missing,
                encoded.codes,
                of_rows,
                self._used,
                self._edges_in_x,
                self._places,
                self._surprise,
                np.empty(self._encoder.layout.features, np.int64),
                found,
            )
        return found

    def blame(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        """(n, F) float32: the weight of each feature in the surprise of n rows, each row's adding up to 1.

        Each table counts by e to the power of its surprise, so those next to the largest one decide; a feature that
        does not go with several others is in all of their tables.
        """
        found = self.cells(encoded)
        n, features = found.shape
        weights = np.full((n, features), 1e-9, np.float32)
        if self._served:
            values = np.stack([self._values(table, surprise, found) for table, surprise in self._served])
            values = np.exp(values - values.max(0))
            for (table, _), value in zip(self._served, values, strict=True):
                weights[:, table.left] += value if table.right >= 0 else 2 * value
                if table.right >= 0:
                    weights[:, table.right] += value
        shares: npt.NDArray[np.float32] = weights / weights.sum(1, keepdims=True)
        return shares

    @staticmethod
    def _values(
        table: Table, surprise: npt.NDArray[np.float64], found: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """(n,) surprises of one table."""
        values: npt.NDArray[np.float64] = surprise[
            found[:, table.left], found[:, table.right] if table.right >= 0 else 0
        ]
        return values


def _surprises(counts: npt.NDArray[np.float64], table: Table) -> npt.NDArray[np.float64] | None:
    """(rows, columns) nats of each cell; None if the two features tell nothing of each other."""
    joint = counts[table.first : table.first + table.rows * table.columns].reshape(table.rows, table.columns)
    if table.right < 0:
        return _ranked(joint)
    if not joint.sum() > 0:
        return None
    found = [_ranked(joint)] if _dependence(joint) > _LEAST_DEPENDENCE else []
    if table.both and _dependence(joint.T) > _LEAST_DEPENDENCE:
        found.append(_ranked(joint.T).T)
    return np.maximum.reduce(found) if found else None


def _ranked(joint: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The surprise of each row of `joint` beside each column, as a rank in nats. It goes on beyond the largest one of
    the counted rows as the surprise itself does."""
    n = float(joint.sum())
    surprise = _surprise(joint, joint.sum(1), joint.sum(0), n)
    inside = joint > 0
    if not inside.any():
        return np.zeros_like(joint)
    rest = _surprise(
        np.maximum(joint - 1.0, 0.0), np.maximum(joint.sum(1) - 1.0, 0.0), np.maximum(joint.sum(0) - 1.0, 0.0), n - 1.0
    )
    order = np.argsort(-rest[inside], kind="stable")
    sorted_rest, weight = rest[inside][order], np.concatenate(([0.0], np.cumsum(joint[inside][order])))
    as_large = weight[np.searchsorted(-sorted_rest, -surprise, side="right")]
    ranked: npt.NDArray[np.float64] = -np.log((as_large + 0.5) / (n + 1.0)) + np.maximum(surprise - sorted_rest[0], 0.0)
    return ranked


def _surprise(
    joint: npt.NDArray[np.float64], left: npt.NDArray[np.float64], right: npt.NDArray[np.float64], n: float
) -> npt.NDArray[np.float64]:
    levels = int((left > 0).sum()) + 1
    alone = (left + _LEVEL_PRIOR) / (max(n, 0.0) + _LEVEL_PRIOR * levels)
    found: npt.NDArray[np.float64] = -np.log((joint + PRIOR * alone[:, None]) / (right[None, :] + PRIOR))
    return found


def _dependence(joint: npt.NDArray[np.float64]) -> float:
    """The share of the entropy of the rows that the columns take away, without the bias of few counts (Miller, "Note
    on the bias of information estimates", 1955)."""
    n = float(joint.sum())
    left, right = joint.sum(1) / n, joint.sum(0) / n
    inside = joint > 0
    expected = (left[:, None] * right[None, :])[inside]
    information = float((joint[inside] / n * np.log(joint[inside] / n / expected)).sum())
    bias = (int(inside.sum()) - int((left > 0).sum()) - int((right > 0).sum()) + 1) / (2.0 * n)
    entropy = -float((left[left > 0] * np.log(left[left > 0])).sum())
    return (information - bias) / max(entropy, _LEAST_ENTROPY)


def _read(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    tensor = tensors.get(name)
    if tensor is None or tuple(tensor.shape) != shape:
        raise ValueError(f"{name}: not of shape {shape}")
    array: npt.NDArray[np.float64] = tensor.numpy().astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: not finite")
    return array
