"""The entities that a batch's events name: texts by their place, made only where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from worker.core.events.columns import category
from worker.core.events.hash_kernel import KEY, gather


class Named(Protocol):
    """n names, None where an event names no entity."""

    def every(self) -> list[str | None]: ...
    def one(self, row: int) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Spans:
    """Names in UTF-8, from `starts` (n,) to `stops` (n,) of `raw`, both int64; -1 for none.

    `hashes` (n,) uint64, where `gathered` has made them; 0 for none.
    """

    raw: bytearray
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def bytes(self) -> npt.NDArray[np.uint8]:
        """`raw`, to be written too, which is all that compiled functions take."""
        return np.frombuffer(self.raw, np.uint8)

    def take(self, index: npt.NDArray[np.intp]) -> Spans:
        hashes = self.hashes[index] if self.hashes is not None else None
        return Spans(self.raw, self.starts[index], self.stops[index], hashes)

    def gathered(self) -> Spans:
        """With their hashes, and one behind the other in bytes of their own: what looks them up reads less memory."""
        sizes = self.stops - self.starts
        raw, hashes = bytearray(int(sizes.sum())), np.zeros(len(self), np.uint64)
        gather(self.bytes, self.starts, sizes, KEY, np.frombuffer(raw, np.uint8), hashes)
        stops, absent = np.cumsum(sizes), self.starts < 0
        return Spans(raw, np.where(absent, -1, stops - sizes), np.where(absent, -1, stops), hashes)

    def every(self) -> list[str | None]:
        starts, stops = self.starts.tolist(), self.stops.tolist()
        if self.raw.isascii():
            text = self.raw.decode("ascii")
            names: list[str | None] = [text[a:b] for a, b in zip(starts, stops, strict=True)]
        else:
            names = [self.raw[a:b].decode("utf-8") for a, b in zip(starts, stops, strict=True)]
        for row in np.flatnonzero(self.starts < 0).tolist():
            names[row] = None
        return names

    def within(self, most: int) -> bool:
        """Whether there are all of them, none empty and none longer than so many bytes."""
        sizes = self.stops - self.starts
        return not len(sizes) or bool(self.starts.min() >= 0 and sizes.min() > 0 and sizes.max() <= most)

    def one(self, row: int) -> str | None:
        start = int(self.starts[row])
        return None if start < 0 else self.raw[start : int(self.stops[row])].decode("utf-8")


def spans(names: Sequence[str | None]) -> Spans:
    """Of n texts."""
    encoded = [b"" if name is None else name.encode("utf-8") for name in names]
    sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
    stops = np.cumsum(sizes)
    absent = np.fromiter((name is None for name in names), np.bool_, len(encoded))
    return Spans(bytearray(b"".join(encoded)), np.where(absent, -1, stops - sizes), np.where(absent, -1, stops))


@dataclass(frozen=True, slots=True)
class Attributes:
    """Names as attributes of decoded events; without `get` there are none."""

    get: Callable[[Any], Any] | None
    events: Sequence[Any]

    def every(self) -> list[str | None]:
        if self.get is None:
            return [None] * len(self.events)
        return [name if type(name) is str else category(name) for name in map(self.get, self.events)]

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

    def one(self, row: int) -> str | None:
        place = int(self.order[row])
        return self.first.one(place) if place < self.split else self.second.one(place - self.split)
