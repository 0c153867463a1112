"""The compiled scanner for the fields of one spec: its tables, and the numbers that it leaves to Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from worker.core.events.columns import Numbered
from worker.core.events.entity_names import PackedNames
from worker.core.events.event_time import milliseconds_of
from worker.core.events.hash_kernel import KEY, hash_bytes
from worker.core.events.json_lookup_kernel import KEY_FIELDS, TOKEN_COUNTS, Keys, Tokens
from worker.core.events.json_record_kernel import (
    BOOLEAN,
    GUESSES,
    MAX_DEPTH,
    NUMBER,
    OBJECT,
    SCALAR,
    TIME,
    Results,
    Scratch,
    scan,
)
from worker.core.events.spec import NUMBER_KINDS

_KINDS = {
    **dict.fromkeys(sorted(NUMBER_KINDS), NUMBER),
    "boolean": BOOLEAN,
    "categorical": SCALAR,
    "entity": SCALAR,
    "cyclic": TIME,
    "time": TIME,
}
_MAX_TOKENS = 32_768
_MAX_TOKEN_BYTES = 1 << 20
_MAX_INEXACT = 65_536


@dataclass(frozen=True, slots=True)
class Scanned:
    """n values. `plain` (n,) marks those that were read; the columns of the others mean nothing. `number` and `scalar`
    give the columns of a path: float64 (a time in ms since 1970), and object.
    """

    plain: npt.NDArray[np.bool_]
    number: Mapping[str, npt.NDArray[np.float64]]
    scalar: Mapping[str, npt.NDArray[np.object_]]
    names: PackedNames


class Scanner:
    """Remembers the scalars that it has read, so that most Python objects are made only once. Not thread-safe."""

    def __init__(self, kinds: Mapping[str, str], categorical: Sequence[str], entity: str | None) -> None:
        """`kinds` by path; the paths of the `categorical` features and of the entity are among them."""
        self._kinds = kinds
        self._numbers = [path for path, kind in kinds.items() if _KINDS[kind] != SCALAR]
        self._scalars = sorted(set(categorical))
        self._keys = _keys(kinds, self._numbers, self._scalars, entity)
        self._tokens = Tokens(
            slots=np.empty(2 * _MAX_TOKENS, np.int32),
            spans=np.empty((_MAX_TOKENS, 2), np.int64),
            arena=np.empty(_MAX_TOKEN_BYTES, np.uint8),
            counts=np.zeros(1, TOKEN_COUNTS),
        )
        self._scratch = Scratch(
            stack=np.empty(MAX_DEPTH, np.int64),
            seen_in=np.empty(len(self._keys.fields), np.int64),
            guesses=np.full(GUESSES, -1, np.int64),
        )
        self._forget()

    def scan(self, values: Sequence[bytes | None], limit: int) -> Scanned:
        """Scan n values; those of more than `limit` bytes are not read."""
        known, used = self._tokens.counts[0]
        if 2 * known > _MAX_TOKENS or 2 * used > _MAX_TOKEN_BYTES:
            self._forget()
        separator = bytearray(1)  # not bytes, because the kernel needs a writable buffer
        padded: list[Any] = [*values, b""]
        try:
            raw = separator.join(padded)
        except TypeError:  # tombstones
            padded = [value or b"" for value in padded]
            raw = separator.join(padded)
        n = len(values)
        sizes = np.fromiter(map(len, padded), np.int64, n + 1)[:-1]
        numbers = np.empty((len(self._numbers), n))
        results = Results(
            plain=np.empty(n, np.bool_),
            numbers=numbers,
            tokens=np.empty((len(self._scalars), n), np.int64),
            entities=np.empty((2, n), np.int64),
            inexact=np.empty((min(numbers.size, _MAX_INEXACT), 4), np.int64),
            inexact_count=np.empty(1, np.int64),
        )
        before = int(self._tokens.counts[0]["known"])
        scan(np.frombuffer(raw, np.uint8), sizes, limit, self._keys, self._tokens, self._scratch, results)
        for target, row, start, stop in results.inexact[: results.inexact_count[0]].tolist():
            numbers[target, row] = float(raw[start:stop])
        self._learn(before)
        plain, number = results.plain, dict(zip(self._numbers, numbers, strict=True))
        for path in self._numbers:
            if _KINDS[self._kinds[path]] == TIME:
                number[path], fine = milliseconds_of(number[path])
                plain &= fine
        columns = zip(self._scalars, results.tokens, strict=True)
        scalar = {path: Numbered.of(self._known, tokens) for path, tokens in columns}
        return Scanned(plain, number, scalar, PackedNames(raw, *results.entities))

    def _learn(self, before: int) -> None:
        """Decode the scalars that are new since `before` were known."""
        for token in range(before, int(self._tokens.counts[0]["known"])):
            start, stop = self._tokens.spans[token]
            self._known[token] = msgspec.json.decode(self._tokens.arena[start:stop].tobytes())

    def _forget(self) -> None:
        self._tokens.slots[:] = -1
        self._tokens.spans[0] = 0
        self._tokens.counts[0] = (1, 0)  # token 0 stands for a missing value
        self._known: npt.NDArray[np.object_] = np.empty(_MAX_TOKENS, object)


def _keys(kinds: Mapping[str, str], numbers: Sequence[str], scalars: Sequence[str], entity: str | None) -> Keys:
    """The keys on the paths of the spec; object 0 is the record."""
    rows: list[tuple[int, ...]] = []
    names = b""
    objects: dict[tuple[str, ...], int] = {(): 0}
    for path, kind in kinds.items():
        parts = tuple(path.split("."))
        for depth in range(1, len(parts) + 1):
            prefix, is_leaf = parts[:depth], depth == len(parts)
            if not is_leaf and prefix in objects:
                continue
            target = (numbers.index(path) if path in numbers else -1) if is_leaf else len(objects)
            token = scalars.index(path) if is_leaf and path in scalars else -1
            name = parts[depth - 1].encode()
            key_kind = _KINDS[kind] if is_leaf else OBJECT
            is_entity = int(is_leaf and path == entity)
            rows.append((objects[prefix[:-1]], key_kind, target, token, is_entity, len(names), len(names) + len(name)))
            names += name
            if not is_leaf:
                objects[prefix] = target
    fields, raw = np.array(rows, KEY_FIELDS), np.frombuffer(bytearray(names), np.uint8)
    return Keys(slots=_slots(fields, raw), fields=fields, names=raw, secret=KEY)


def _slots(fields: npt.NDArray[np.void], names: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """The hash table of the keys: open addressing, at most half full, by a key's object and the bytes of its name."""
    slots = np.full(1 << int(4 * len(fields) - 1).bit_length(), -1, np.int32)
    for k, key in enumerate(fields):
        at = (int(hash_bytes(names, key["start"], key["stop"], KEY)) + int(key["parent"])) % len(slots)
        while slots[at] >= 0:
            at = (at + 1) % len(slots)
        slots[at] = k
    return slots
