"""The compiled scanner for the fields of one spec: its tables, and what it left for Python to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Numbered
from worker.core.events.entity_names import PackedNames
from worker.core.events.event_time import stamps
from worker.core.events.hash_kernel import KEY, hashed
from worker.core.events.json_record_kernel import (
    BOOLEAN,
    DEPTH,
    GUESSES,
    HARD,
    NUMBER,
    OBJECT,
    SCALAR,
    TIME,
    TOKEN_BYTES,
    TOKEN_COUNT,
    scan,
)

_KINDS = {"numeric": NUMBER, "rate": NUMBER, "boolean": BOOLEAN, "categorical": SCALAR, "entity": SCALAR,
          "cyclic": TIME, "time": TIME}  # fmt: skip
_TOKENS_MOST = 32_768
_TOKEN_BYTES_MOST = 1 << 20
_HARD_MOST = 65_536


@dataclass(frozen=True, slots=True)
class Scanned:
    """n values; `plain` (n,) says which were read, what the others show means nothing. `number` and `scalar` give the
    columns of a path: float64 (of a time in ms since 1970), and object.
    """

    plain: npt.NDArray[np.bool_]
    number: Mapping[str, npt.NDArray[np.float64]]
    scalar: Mapping[str, npt.NDArray[np.object_]]
    names: PackedNames


class Scanner:
    """Remembers scalars that it has met, so that most are made only once; not for two threads at once."""

    def __init__(self, kinds: Mapping[str, str], categorical: Sequence[str], entity: str | None) -> None:
        """`kinds` by path; of these the `categorical` ones, and where the entity is."""
        self._kinds = kinds
        self._numbers = [path for path, kind in kinds.items() if _KINDS[kind] != SCALAR]
        self._scalars = sorted(set(categorical))
        self._keys, names = _keys(kinds, self._numbers, self._scalars, entity)
        self._names = np.frombuffer(bytearray(names), np.uint8)
        self._stack, self._came = np.empty(DEPTH, np.int64), np.empty(len(self._keys), np.int64)
        self._guess = np.full(GUESSES, -1, np.int64)
        self._key_slots = _slots(self._keys, self._names)
        self._token_slots = np.empty(2 * _TOKENS_MOST, np.int32)
        self._spans = np.empty((_TOKENS_MOST, 2), np.int64)
        self._arena = np.empty(_TOKEN_BYTES_MOST, np.uint8)
        self._meta = np.zeros(3, np.int64)
        self._forget()

    def scan(self, values: Sequence[bytes | None], limit: int) -> Scanned:
        """n values; those of more than `limit` bytes are not read."""
        if 2 * self._meta[TOKEN_COUNT] > _TOKENS_MOST or 2 * self._meta[TOKEN_BYTES] > _TOKEN_BYTES_MOST:
            self._forget()
        separator = bytearray(1)  # joins to what can be written, the only buffer that the kernel takes
        given: list[Any] = [*values, b""]
        try:
            raw = separator.join(given)
        except TypeError:  # tombstones
            given = [value or b"" for value in given]
            raw = separator.join(given)
        n = len(values)
        sizes = np.fromiter(map(len, given), np.int64, n + 1)[:-1]
        plain, numbers = np.empty(n, np.bool_), np.empty((len(self._numbers), n))
        tokens, entities = np.empty((len(self._scalars), n), np.int64), np.empty((2, n), np.int64)
        hard = np.empty((min(numbers.size, _HARD_MOST), 4), np.int64)
        before = int(self._meta[TOKEN_COUNT])
        scan(np.frombuffer(raw, np.uint8), sizes, limit, KEY, self._stack, self._came, self._guess,
             self._key_slots, self._keys, self._names, self._token_slots, self._spans, self._arena, self._meta,
             plain, numbers, tokens, entities, hard)  # fmt: skip
        for place, row, start, stop in hard[: self._meta[HARD]].tolist():
            numbers[place, row] = float(raw[start:stop])
        self._learn(before)
        number = dict(zip(self._numbers, numbers, strict=True))
        for path in self._numbers:
            if _KINDS[self._kinds[path]] == TIME:
                number[path], fine = stamps(number[path])
                plain &= fine
        scalar = {path: Numbered.of(self._known, column) for path, column in zip(self._scalars, tokens, strict=True)}
        return Scanned(plain, number, scalar, PackedNames(raw, entities[0], entities[1]))

    def _learn(self, before: int) -> None:
        """Make the scalars that the last batch brought."""
        for token in range(before, int(self._meta[TOKEN_COUNT])):
            start, stop = self._spans[token]
            self._known[token] = msgspec.json.decode(self._arena[start:stop].tobytes())

    def _forget(self) -> None:
        self._token_slots[:] = -1
        self._spans[0] = 0
        self._known: npt.NDArray[np.object_] = np.empty(_TOKENS_MOST, object)  # token 0 stands for a missing value
        self._meta[:] = (1, 0, 0)


def _keys(
    kinds: Mapping[str, str], numbers: Sequence[str], scalars: Sequence[str], entity: str | None
) -> tuple[npt.NDArray[np.int64], bytes]:
    """The table of keys that the kernel takes, and the bytes of their names; object 0 is the record."""
    rows: list[list[int]] = []
    names = b""
    objects: dict[tuple[str, ...], int] = {(): 0}
    for path, kind in kinds.items():
        parts = tuple(path.split("."))
        for depth in range(1, len(parts) + 1):
            own, whole = parts[:depth], depth == len(parts)
            if not whole and own in objects:
                continue
            target = (numbers.index(path) if path in numbers else -1) if whole else len(objects)
            token = scalars.index(path) if whole and path in scalars else -1
            name = parts[depth - 1].encode()
            kept = _KINDS[kind] if whole else OBJECT
            rows.append([objects[own[:-1]], kept, target, token, int(whole and path == entity), len(names),
                         len(names) + len(name)])  # fmt: skip
            names += name
            if not whole:
                objects[own] = target
    return np.array(rows, np.int64), names


def _slots(keys: npt.NDArray[np.int64], names: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Open addressing, at most half full: a key by the object that it is in and the bytes of its name."""
    slots = np.full(1 << int(4 * len(keys) - 1).bit_length(), -1, np.int32)
    for k, (parent, *_, start, stop) in enumerate(keys.tolist()):
        at = (int(hashed(names, start, stop, KEY)) + parent) % len(slots)
        while slots[at] >= 0:
            at = (at + 1) % len(slots)
        slots[at] = k
    return slots
