"""The entities that a batch's events name: texts by their place, made only where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from worker.core.columns import category


class Named(Protocol):
    """n names, None where an event names no entity."""

    def every(self) -> list[str | None]: ...
    def one(self, row: int) -> str | None: ...
    def within(self, most: int) -> bool:
        """Whether there are all of them, none empty and none longer than so many characters."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Names in ASCII, from `starts` (n,) to `stops` (n,) of `raw`; -1 for none."""

    raw: bytearray
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]

    def take(self, index: npt.NDArray[np.intp]) -> Spans:
        return Spans(self.raw, self.starts[index], self.stops[index])

    def every(self) -> list[str | None]:
        text = self.raw.decode("latin-1")
        starts = self.starts.tolist()
        names: list[str | None] = [text[a:b] for a, b in zip(starts, self.stops.tolist(), strict=True)]
        for row in np.flatnonzero(self.starts < 0).tolist():
            names[row] = None
        return names

    def within(self, most: int) -> bool:
        sizes = self.stops - self.starts
        return not len(sizes) or bool(self.starts.min() >= 0 and sizes.min() > 0 and sizes.max() <= most)

    def one(self, row: int) -> str | None:
        start = int(self.starts[row])
        return None if start < 0 else self.raw[start : int(self.stops[row])].decode("latin-1")


@dataclass(frozen=True, slots=True)
class Attributes:
    """Names as attributes of decoded events; without `get` there are none."""

    get: Callable[[Any], Any] | None
    events: Sequence[Any]

    def every(self) -> list[str | None]:
        if self.get is None:
            return [None] * len(self.events)
        return [name if type(name) is str else category(name) for name in map(self.get, self.events)]

    def within(self, most: int) -> bool:
        return all(name and len(name) <= most for name in self.every())

    def one(self, row: int) -> str | None:
        return None if self.get is None else category(self.get(self.events[row]))


@dataclass(frozen=True, slots=True)
class Merged:
    """Names of two parts; `order` (n,) is each row's place among both, one after the other."""

    first: Named
    second: Named
    split: int
    order: npt.NDArray[np.intp]

    def every(self) -> list[str | None]:
        names = self.first.every() + self.second.every()
        return [names[place] for place in self.order.tolist()]

    def within(self, most: int) -> bool:
        return self.first.within(most) and self.second.within(most)

    def one(self, row: int) -> str | None:
        place = int(self.order[row])
        return self.first.one(place) if place < self.split else self.second.one(place - self.split)
