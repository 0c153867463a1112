"""The levels of categorical features: fitted in training and frozen into the bundle."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Numbered, category

_RARE_MOST = 10_000
_PROBABLE_MOST = 3
_PROBABLE_LEAST = 0.01


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A categorical feature's values as level indices.

    The most frequent values (`top`) have the first levels, followed by `other`, `missing` and `unseen`. A hashed
    feature has `buckets` levels and then `missing`; `buckets` is 0 for all others. `rare` are the values that training
    saw beyond the top ones: they count as `other`, and a value in neither set as `unseen`. With more than 10,000 rare
    values `rare` is None, and every unknown value counts as `other`.
    """

    top: tuple[str, ...]
    rare: frozenset[str] | None
    buckets: int

    @staticmethod
    def fit(
        values: npt.NDArray[np.object_], levels: int, encoding: str, parent: Vocabulary | None = None
    ) -> Vocabulary:
        """Fit on (n,) raw values. Values that only the `parent` knew stay known, ranked behind those seen now."""
        if encoding == "hash":
            return Vocabulary((), None, levels)
        seen = Counter(text for value in values if (text := category(value)) is not None)
        before = {text: -place for place, text in enumerate(parent.top)} if parent is not None else {}
        least = -len(before)
        known = seen.keys() | before.keys()
        ranked = sorted(known, key=lambda text: (-seen[text], -before.get(text, least), text))
        rare = frozenset(ranked[levels:])
        if parent is not None:
            if parent.rare is None:
                return Vocabulary(tuple(ranked[:levels]), None, 0)
            rare |= parent.rare - frozenset(ranked[:levels])
        return Vocabulary(tuple(ranked[:levels]), rare if len(rare) <= _RARE_MOST else None, 0)

    @property
    def levels(self) -> int:
        return self.buckets + 1 if self.buckets else len(self.top) + 3

    @property
    def missing(self) -> int:
        return self.buckets if self.buckets else len(self.top) + 1

    @property
    def unseen(self) -> int | None:
        return None if self.buckets else len(self.top) + 2

    def lookup(self) -> Lookup:
        return Lookup(self)

    def name(self, level: int) -> str | None:
        """The value of a level, "other" or "unseen"; None for hashed buckets and for `missing`."""
        if self.buckets or level == self.missing:
            return None
        return self.top[level] if level < len(self.top) else ("other" if level == len(self.top) else "unseen")

    def most_probable(self, probabilities: npt.NDArray[np.float64]) -> list[list[dict[str, Any]]]:
        """The most probable levels in each of n events, from (n, levels): three at most, each at least 1 %.

        `unseen` is left out, and the rest is normalised: training shows no unseen value that a model could learn from.
        """
        odds = probabilities.copy()
        if self.unseen is not None:
            odds[:, self.unseen] = 0.0
        odds /= np.maximum(odds.sum(1, keepdims=True), 1e-9)
        order = np.argsort(-odds, axis=1, kind="stable")[:, :_PROBABLE_MOST]
        likely = np.take_along_axis(odds, order, 1).round(4)
        return [
            [
                {"value": self.name(level), "probability": p}
                for level, p in zip(*row, strict=True)
                if p >= _PROBABLE_LEAST
            ]
            for row in zip(order.tolist(), likely.tolist(), strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        rare = sorted(self.rare) if self.rare is not None else None
        return {"top": list(self.top), "rare": rare, "buckets": self.buckets}

    @staticmethod
    def from_json(state: dict[str, Any]) -> Vocabulary:
        rare = frozenset(state["rare"]) if state["rare"] is not None else None
        return Vocabulary(tuple(state["top"]), rare, state["buckets"])


class Lookup:
    """Maps values to level indices: one dictionary access per common text, one array access per numbered scalar."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: dict[Any, int] = {text: level for level, text in enumerate(vocabulary.top)}
        self._numbered: npt.NDArray[np.object_] = np.empty(0, object)
        self._level_of: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def codes(self, values: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
        """(n,) raw values to (n,) int64 level indices."""
        if not isinstance(values, Numbered) or values.known is None or values.numbers is None:
            return self._codes(values)
        if self._numbered is not values.known:
            self._numbered, self._level_of = values.known, np.full(len(values.known), -1, np.int64)
        codes = self._level_of[values.numbers]
        new = np.unique(values.numbers[codes < 0])
        if not len(new):
            return codes
        self._level_of[new] = self._codes(values.known[new])
        return self._level_of[values.numbers]

    def _codes(self, values: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
        # Only texts are keys: 1 == True == 1.0 would share one. Numbers and booleans miss here and go by their text.
        codes = np.fromiter(map(self._known.get, values.tolist(), repeat(-1)), np.int64, len(values))
        for row in np.flatnonzero(codes < 0).tolist():
            codes[row] = self._level(category(values[row]))
        return codes

    def _level(self, text: str | None) -> int:
        vocabulary = self._vocabulary
        if text is None:
            return vocabulary.missing
        if vocabulary.buckets:
            return zlib.crc32(text.encode("utf-8", "surrogatepass")) % vocabulary.buckets
        known = self._known.get(text)
        if known is not None:
            return known
        rare = vocabulary.rare
        assert vocabulary.unseen is not None
        return len(vocabulary.top) if rare is None or text in rare else vocabulary.unseen
