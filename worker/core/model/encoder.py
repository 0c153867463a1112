"""The encoder: columns to a network's input, and a model's expectations back to values.

It is fitted in training and frozen into the bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Columns, category
from worker.core.events.spec import BooleanFeature, CategoricalFeature, CyclicFeature, FeatureSpec, NumericFeature
from worker.core.model.encoder_kernel import clip, mark
from worker.core.model.layout import Transform, layout_of
from worker.core.model.periods import angles_of, instant_of, texts_of
from worker.core.model.scaling import Scaling
from worker.core.model.vocabulary import Lookup, Vocabulary


@dataclass(frozen=True, slots=True)
class Encoded:
    """n encoded events.

    `x` (n, inputs) float32; with a window, the newest record's columns come first. The others describe the newest
    record alone: `codes` (n, C) int64 are the levels of the categoricals, `missing` and `out_of_range` (n, F) bool.
    """

    x: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int64]
    missing: npt.NDArray[np.bool_]
    out_of_range: npt.NDArray[np.bool_]

    def take(self, rows: npt.NDArray[np.intp]) -> Encoded:
        """The rows at these places."""
        return Encoded(self.x[rows], self.codes[rows], self.missing[rows], self.out_of_range[rows])


class Encoder:
    """Immutable once fitted; `to_json` and `from_json` round-trip to the same bits.

    `transforms` holds one transform per feature; `masked` says for each whether it had missing values in training.
    """

    def __init__(self, spec: FeatureSpec, transforms: Sequence[Transform], masked: Sequence[bool]) -> None:
        self.spec = spec
        self.layout = layout_of(spec, transforms, masked)
        self._transforms = tuple(transforms)
        self._masked = tuple(masked)
        self._lookups: list[Lookup | None] = [t.lookup() if isinstance(t, Vocabulary) else None for t in transforms]
        blocks, categories = self.layout.blocks, self.layout.categorical
        masks = [block.start + 1 if block.has_mask else -1 for block in blocks if block.kind == "numeric"]
        self._masks = np.array(masks, np.int64)
        self._categories = np.array([block.feature for block in categories], np.int64)
        self._first_levels = np.array([block.start for block in categories], np.int64)
        self._missing_levels = np.array([t.missing for t in transforms if isinstance(t, Vocabulary)], np.int64)

    @staticmethod
    def fit(spec: FeatureSpec, columns: Columns, parent: Encoder | None = None) -> Encoder:
        """Fit on n rows.

        A feature gets a mask if values of it are missing. Categories that only the `parent` has seen stay known.
        Raises ValueError if there are no rows.
        """
        if not len(columns):
            raise ValueError("no rows to fit an encoder on")
        transforms: list[Transform] = []
        masked = []
        known = parent.transforms if parent is not None else (None,) * len(spec.columns)
        for feature, column, before in zip(spec.columns, columns.newest().values, known, strict=True):
            masked.append(column.dtype != object and bool(np.isnan(column).any()))
            if isinstance(feature, NumericFeature):
                transforms.append(Scaling.fit(column, feature.transform, feature.scale))
            elif isinstance(feature, CategoricalFeature):
                seen = before if isinstance(before, Vocabulary) else None
                transforms.append(Vocabulary.fit(column, feature.levels, feature.encoding, seen))
            elif isinstance(feature, BooleanFeature):
                transforms.append(Vocabulary(("false", "true"), frozenset(), 0))
            else:
                transforms.append(None)
        return Encoder(spec, transforms, masked)

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """One per feature: the scaling of a number, the levels of a categorical or boolean, None for a time."""
        return self._transforms

    def transform(self, columns: Columns) -> Encoded:
        """Encode n events. If the spec has a window but `columns` has no lags, an event's own record fills it."""
        lags = columns.lags
        if lags is None:
            rows = self._encode_records(columns)
            if self.spec.window == 1:
                return rows
            return Encoded(np.tile(rows.x, (1, self.spec.window)), rows.codes, rows.missing, rows.out_of_range)
        rows, newest = self._encode_records(Columns(columns.values)), lags[:, 0]
        x = rows.x[lags].reshape(len(lags), self.layout.inputs)
        return Encoded(x, rows.codes[newest], rows.missing[newest], rows.out_of_range[newest])

    def _encode_records(self, columns: Columns) -> Encoded:
        """Encode m records, each by itself: `x` is (m, columns of one record)."""
        n, layout = len(columns), self.layout
        x = np.zeros((n, layout.width), np.float32)
        codes = np.empty((n, len(layout.categorical)), np.int64)
        missing = np.zeros((n, layout.features), np.bool_)
        out_of_range = np.zeros((n, layout.features), np.bool_)
        for block, lookup, column in zip(layout.blocks, self._lookups, columns.values, strict=True):
            if block.kind == "categorical":
                assert lookup is not None
                codes[:, block.code] = lookup.codes(column) if column.dtype == object else _levels_of_booleans(column)
            elif block.kind == "cyclic":
                absent = np.isnan(column)
                angles = angles_of(np.where(absent, 0.0, column), self._period(block.feature))
                x[:, block.start] = np.where(absent, 0.0, np.sin(angles))
                x[:, block.start + 1] = np.where(absent, 0.0, np.cos(angles))
                missing[:, block.feature] = absent
                if block.has_mask:
                    x[:, block.start + block.width] = absent
        mark(codes, self._categories, self._first_levels, self._missing_levels, x, missing)
        scaled = np.empty((len(layout.numeric_features), n))
        for row, feature in zip(scaled, layout.numeric_features.tolist(), strict=True):
            scaling = self._transforms[feature]
            assert isinstance(scaling, Scaling)
            row[:] = scaling.apply(columns.values[feature])
        clip(scaled, layout.numeric_features, layout.numeric_starts, self._masks, x, missing, out_of_range)
        return Encoded(x, codes, missing, out_of_range)

    def _period(self, feature: int) -> str:
        cyclic = self.spec.columns[feature]
        assert isinstance(cyclic, CyclicFeature)
        return cyclic.period

    # Values for an alert.

    def actual(self, feature: int, columns: Columns) -> list[Any]:
        """A feature's values in n events: numbers, texts, booleans, times in RFC 3339, None for missing values."""
        values: list[Any] = columns.values[feature].tolist()
        kind = self.spec.columns[feature].kind
        if kind == "categorical":
            return [category(value) for value in values]
        converters: dict[str, Callable[[float], Any]] = {"boolean": bool, "cyclic": instant_of}
        convert = converters.get(kind, float)
        return [None if value != value else convert(value) for value in values]

    def expected(self, feature: int, values: npt.NDArray[np.float32]) -> list[Any]:
        """The values that a model expected of a feature in n events.

        `values` (n, width) are the feature's value columns in units of x; for a categorical, the probabilities of its
        levels. Returns numbers in original units within the range seen in training, booleans, the place of a time in
        its period as text, and for a categorical the most probable levels.
        """
        transform, wide = self._transforms[feature], values.astype(np.float64)
        if isinstance(transform, Scaling):
            return list(transform.invert(wide[:, 0]).tolist())
        if isinstance(transform, Vocabulary):
            probabilities = np.clip(wide, 0.0, 1.0)
            if self.spec.columns[feature].kind == "boolean":
                return list((probabilities[:, 1] >= probabilities[:, 0]).tolist())
            return transform.most_probable(probabilities)
        return texts_of(wide[:, 0], wide[:, 1], self._period(feature))

    # JSON, as it stands in a bundle's manifest. "parts" is the transforms' name in the format.

    def to_json(self) -> dict[str, Any]:
        parts = [transform.to_json() if transform is not None else None for transform in self._transforms]
        return {"parts": parts, "masked": list(self._masked)}

    @staticmethod
    def from_json(spec: FeatureSpec, state: dict[str, Any]) -> Encoder:
        """The inverse of `to_json`. Raises ValueError if the state does not belong to an encoder of this spec."""
        try:
            plain, masked = state["parts"], tuple(bool(mask) for mask in state["masked"])
            if not len(plain) == len(masked) == len(spec.columns):
                raise ValueError(f"{len(plain)} parts and {len(masked)} masks for {len(spec.columns)} features")
            transforms: list[Transform] = []
            for feature, part in zip(spec.columns, plain, strict=True):
                if feature.kind == "numeric":
                    transforms.append(Scaling(**part))
                else:
                    transforms.append(None if feature.kind == "cyclic" else Vocabulary.from_json(part))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an encoder of this feature spec: {error}") from error
        return Encoder(spec, transforms, masked)


def _levels_of_booleans(column: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """(n,) levels of a boolean column: false 0, true 1, missing 3 (after `other`)."""
    return np.where(np.isnan(column), 3, np.nan_to_num(column) != 0).astype(np.int64)
