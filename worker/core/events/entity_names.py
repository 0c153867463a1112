"""The entities that a batch's events name: texts by their place, made only where they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from worker.core.events.columns import category
from worker.core.events.hash_kernel import KEY, copy_names

MAX_ENTITY = 256
"""Characters of an entity's name that are kept: it is held in memory, and stands in key, headers and value of its
alerts.
"""


class EntityNames(Protocol):
    """n names, None where an event names no entity."""

    def all(self) -> list[str | None]: ...
    def at(self, row: int) -> str | None: ...


@dataclass(frozen=True, slots=True)
class PackedNames:
    """Names in UTF-8, from `starts` (n,) to `stops` (n,) of `raw`, both int64; -1 for none.

    `hashes` (n,) uint64, where `with_hashes` has made them; 0 for none.
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

    def take(self, index: npt.NDArray[np.intp]) -> PackedNames:
        hashes = self.hashes[index] if self.hashes is not None else None
        return PackedNames(self.raw, self.starts[index], self.stops[index], hashes)

    def with_hashes(self) -> PackedNames:
        """With their hashes, and one behind the other in bytes of their own: what looks them up reads less memory."""
        sizes = self.stops - self.starts
        raw, hashes = bytearray(int(sizes.sum())), np.zeros(len(self), np.uint64)
        copy_names(self.bytes, self.starts, sizes, KEY, np.frombuffer(raw, np.uint8), hashes)
        stops, absent = np.cumsum(sizes), self.starts < 0
        return PackedNames(raw, np.where(absent, -1, stops - sizes), np.where(absent, -1, stops), hashes)

    def all(self) -> list[str | None]:
        starts, stops = self.starts.tolist(), self.stops.tolist()
        if self.raw.isascii():
            text = self.raw.decode("ascii")
            names: list[str | None] = [text[a:b] for a, b in zip(starts, stops, strict=True)]
        else:
            names = [self.raw[a:b].decode("utf-8") for a, b in zip(starts, stops, strict=True)]
        for row in np.flatnonzero(self.starts < 0).tolist():
            names[row] = None
        return names

    def all_within(self, most: int) -> bool:
        """Whether there are all of them, none empty and none longer than so many bytes."""
        sizes = self.stops - self.starts
        return not len(sizes) or bool(self.starts.min() >= 0 and sizes.min() > 0 and sizes.max() <= most)

    def at(self, row: int) -> str | None:
        start = int(self.starts[row])
        return None if start < 0 else self.raw[start : int(self.stops[row])].decode("utf-8")


def pack_names(names: Sequence[str | None]) -> PackedNames:
    """Of n texts."""
    encoded = [b"" if name is None else name.encode("utf-8") for name in names]
    sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
    stops = np.cumsum(sizes)
    absent = np.fromiter((name is None for name in names), np.bool_, len(encoded))
    return PackedNames(bytearray(b"".join(encoded)), np.where(absent, -1, stops - sizes), np.where(absent, -1, stops))


@dataclass(frozen=True, slots=True)
class AttributeNames:
    """Names as attributes of decoded events; without `get` there are none."""

    get: Callable[[Any], Any] | None
    events: Sequence[Any]

    def all(self) -> list[str | None]:
        if self.get is None:
            return [None] * len(self.events)
        return [name if type(name) is str else category(name) for name in map(self.get, self.events)]

    def at(self, row: int) -> str | None:
        return None if self.get is None else category(self.get(self.events[row]))


@dataclass(frozen=True, slots=True)
class MergedNames:
    """Names of two parts; `order` (n,) is each row's place among both, one after the other."""

    first: EntityNames
    second: EntityNames
    split: int
    order: npt.NDArray[np.intp]

    def all(self) -> list[str | None]:
        names = self.first.all() + self.second.all()
        return [names[place] for place in self.order.tolist()]

    def at(self, row: int) -> str | None:
        place = int(self.order[row])
        return self.first.at(place) if place < self.split else self.second.at(place - self.split)


def entity_of(name: str | None, key: bytes | None) -> str | None:
    """The entity of a record: the name in its event, else its key, else None.

    Bytes that are not UTF-8 are escaped. A name longer than `MAX_ENTITY` is cut, and a digest of the whole name is
    appended, so that two long names stay apart.
    """
    entity = name
    if entity is None:
        if key is None:
            return None
        entity = key.decode("utf-8", "backslashreplace")
    if len(entity) <= MAX_ENTITY:
        return entity
    return f"{entity[:MAX_ENTITY]}~{hashlib.sha256(entity.encode('utf-8', 'replace')).hexdigest()[:16]}"
