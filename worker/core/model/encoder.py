"""Columns to the network's input, and the network's output back to values: fitted in training, frozen into the
bundle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns, category
from worker.core.events.spec import BooleanFeature, CategoricalFeature, CyclicFeature, FeatureSpec, NumericFeature
from worker.core.model.encoder_kernel import clip, mark
from worker.core.model.layout import Transform, layout_of
from worker.core.model.scaling import Scaling
from worker.core.model.vocabulary import Lookup, Vocabulary

_SECONDS = {"hour": 3_600.0, "day": 86_400.0, "week": 604_800.0, "year": 31_556_952.0}
_MONDAY = 345_600.0  # 1970-01-05, so that weeks begin on a Monday
_LIKELIER = 3


@dataclass(frozen=True, slots=True)
class Encoded:
    """n encoded events: `x` (n, inputs) float32, with a window the newest record's columns first; of the newest record
    `codes` (n, C) int64 levels, `missing` and `out_of_range` (n, F) bool.
    """

    x: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int64]
    missing: npt.NDArray[np.bool_]
    out_of_range: npt.NDArray[np.bool_]


class Encoder:
    """Immutable once fitted; `to_json` and `from_json` round-trip to the same bits."""

    def __init__(self, spec: FeatureSpec, parts: tuple[Transform, ...], masked: tuple[bool, ...]) -> None:
        self.spec = spec
        self._parts = parts
        self._masked = masked
        self._lookups: list[Lookup | None] = [p.lookup() if isinstance(p, Vocabulary) else None for p in parts]
        self.layout = layout_of(spec, parts, masked)
        blocks, categories = self.layout.blocks, self.layout.categorical
        masks = [block.start + 1 if block.has_mask else -1 for block in blocks if block.kind == "numeric"]
        self._masks = np.array(masks, np.int64)
        self._categories = np.array([block.feature for block in categories], np.int64)
        self._first_levels = np.array([block.start for block in categories], np.int64)
        absent = [part.missing for part in parts if isinstance(part, Vocabulary)]
        self._absent_levels = np.array(absent, np.int64)

    @staticmethod
    def fit(spec: FeatureSpec, columns: Columns, parent: Encoder | None = None) -> Encoder:
        """From n rows; values that only a `parent` has seen stay known. A feature gets a mask where values are
        missing. Raises ValueError where there are no rows.
        """
        if not len(columns):
            raise ValueError("no rows to fit an encoder on")
        parts: list[Transform] = []
        masked = []
        known = parent._parts if parent is not None else (None,) * len(spec.columns)
        for feature, column, before in zip(spec.columns, columns.newest().values, known, strict=True):
            masked.append(column.dtype != object and bool(np.isnan(column).any()))
            if isinstance(feature, NumericFeature):
                parts.append(Scaling.fit(column, feature.transform, feature.scale))
            elif isinstance(feature, CategoricalFeature):
                seen = before if isinstance(before, Vocabulary) else None
                parts.append(Vocabulary.fit(column, feature.levels, feature.encoding, seen))
            elif isinstance(feature, BooleanFeature):
                parts.append(Vocabulary(("false", "true"), frozenset(), 0))
            else:
                parts.append(None)
        return Encoder(spec, tuple(parts), tuple(masked))

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """One per feature: how a number is scaled, what the levels are; None for a time."""
        return self._parts

    def transform(self, columns: Columns) -> Encoded:
        """Encode n events; where windows are due and `columns` has none, each event's own record fills its window."""
        lags = columns.lags
        if lags is None:
            rows = self._rows(columns)
            if self.spec.window == 1:
                return rows
            return Encoded(np.tile(rows.x, (1, self.spec.window)), rows.codes, rows.missing, rows.out_of_range)
        rows, newest = self._rows(Columns(columns.values)), lags[:, 0]
        x = rows.x[lags].reshape(len(lags), self.layout.inputs)
        return Encoded(x, rows.codes[newest], rows.missing[newest], rows.out_of_range[newest])

    def _rows(self, columns: Columns) -> Encoded:
        n, features = len(columns), self.layout.features
        x = np.zeros((n, self.layout.width), np.float32)
        codes = np.empty((n, len(self._categories)), np.int64)
        missing = np.zeros((n, features), np.bool_)
        out_of_range = np.zeros((n, features), np.bool_)
        for block, lookup, column in zip(self.layout.blocks, self._lookups, columns.values, strict=True):
            i = block.feature
            if block.kind == "categorical":
                codes[:, block.code] = lookup.codes(column) if lookup and column.dtype == object else _truth(column)
            if block.kind == "cyclic":
                absent = np.isnan(column)
                angle = self._angle(i, np.where(absent, 0.0, column))
                x[:, block.start] = np.where(absent, 0.0, np.sin(angle))
                x[:, block.start + 1] = np.where(absent, 0.0, np.cos(angle))
                missing[:, i] = absent
                if block.has_mask:
                    x[:, block.start + block.width] = absent
        mark(codes, self._categories, self._first_levels, self._absent_levels, x, missing)
        numbers, starts = self.layout.numeric_features, self.layout.numeric_starts
        scaled = np.empty((len(numbers), n))
        for row, i in zip(scaled, numbers.tolist(), strict=True):
            part = self._parts[i]
            assert isinstance(part, Scaling)
            row[:] = part.apply(columns.values[i])
        clip(scaled, numbers, starts, self._masks, x, missing, out_of_range)
        return Encoded(x, codes, missing, out_of_range)

    def _angle(self, feature: int, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        period = self._period(feature)
        shift = _MONDAY if period == _SECONDS["week"] else 0.0
        return 2.0 * np.pi * np.mod(seconds - shift, period) / period

    def _period(self, feature: int) -> float:
        cyclic = self.spec.columns[feature]
        assert isinstance(cyclic, CyclicFeature)
        return _SECONDS[cyclic.period]

    # Values for an alert.

    def actual(self, feature: int, columns: Columns) -> list[Any]:
        """A feature's values as n events had them: numbers, texts, true or false, times, None where missing."""
        values: list[Any] = columns.values[feature].tolist()
        kind = self.spec.columns[feature].kind
        if kind == "categorical":
            return [category(value) for value in values]
        reads: dict[str, Callable[[float], Any]] = {"boolean": bool, "cyclic": _instant}
        read = reads.get(kind, float)
        return [None if value != value else read(value) for value in values]

    def expected(self, feature: int, values: npt.NDArray[np.float32]) -> list[Any]:
        """What the model expected of n events, from (n, width) columns of a feature in units of x.

        Numbers in original units, inside what training saw; for a categorical, whose columns are the probabilities of
        its levels, the likelier values; true or false; for a time its place in the period.
        """
        part = self._parts[feature]
        if isinstance(part, Scaling):
            return list(part.invert(values[:, 0].astype(np.float64)).tolist())
        if isinstance(part, Vocabulary):
            odds = np.clip(values.astype(np.float64), 0.0, 1.0)
            if self.spec.columns[feature].kind == "boolean":
                return list((odds[:, 1] >= odds[:, 0]).tolist())
            return _likelier(part, odds)
        sine, cosine = values[:, 0].astype(np.float64), values[:, 1].astype(np.float64)
        turns = np.arctan2(sine, cosine) / (2.0 * np.pi) % 1.0
        period = self._period(feature)
        return [_place(turn * period, period) for turn in turns.tolist()]

    def to_json(self) -> dict[str, Any]:
        parts = [part.to_json() if part is not None else None for part in self._parts]
        return {"parts": parts, "masked": list(self._masked)}

    @staticmethod
    def from_json(spec: FeatureSpec, state: dict[str, Any]) -> Encoder:
        """Raises ValueError where the state is not one of this spec."""
        try:
            plain, masked = state["parts"], tuple(bool(mask) for mask in state["masked"])
            if not len(plain) == len(masked) == len(spec.columns):
                raise ValueError(f"{len(plain)} parts and {len(masked)} masks for {len(spec.columns)} features")
            parts: list[Transform] = []
            for feature, part in zip(spec.columns, plain, strict=True):
                if feature.kind == "numeric":
                    parts.append(Scaling(**part))
                else:
                    parts.append(None if feature.kind == "cyclic" else Vocabulary.from_json(part))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an encoder of this feature spec: {error}") from error
        return Encoder(spec, tuple(parts), masked)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _likelier(part: Vocabulary, odds: npt.NDArray[np.float64]) -> list[list[dict[str, Any]]]:
    """Of n events the levels that are likelier than one in a hundred, three at most, from `odds` (n, levels)."""
    if part.unseen is not None:
        odds[:, part.unseen] = 0.0
    odds /= np.maximum(odds.sum(1, keepdims=True), 1e-9)
    order = np.argsort(-odds, axis=1, kind="stable")[:, :_LIKELIER]
    likely = np.take_along_axis(odds, order, 1).round(4)
    return [
        [{"value": part.name(level), "probability": p} for level, p in zip(*row, strict=True) if p >= 0.01]
        for row in zip(order.tolist(), likely.tolist(), strict=True)
    ]


def _truth(column: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Levels of a boolean column: false 0, true 1, missing 3 (after `other`)."""
    return np.where(np.isnan(column), 3, np.nan_to_num(column) != 0).astype(np.int64)


def _place(seconds: float, period: float) -> str:
    """A place in a period in words: "14:30", "Tue 14:30", "03-15", or minutes past the hour."""
    if period == _SECONDS["hour"]:
        return f"xx:{int(seconds // 60):02d}"
    if period == _SECONDS["day"]:
        return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M")
    if period == _SECONDS["week"]:
        return datetime.fromtimestamp(seconds + _MONDAY, UTC).strftime("%a %H:%M")
    return datetime.fromtimestamp(seconds, UTC).strftime("%m-%d")
