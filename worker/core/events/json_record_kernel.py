"""A JSON scanner for plain records, compiled: the fields of the spec straight into columns, without Python objects.

It reads a subset of JSON and gives up on everything else: text that is not ASCII or has escapes, numbers beyond 19
digits, a key of the spec that comes twice, deep nesting, anything malformed. What it gives up on the typed decoder
reads, so that it decides nothing: what it does read, it reads as that does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from worker.core.compiled import compiled
from worker.core.events.hash_kernel import hashed, same
from worker.core.events.json_scalar_kernel import number, seconds, skip, text

OBJECT, NUMBER, BOOLEAN, SCALAR, TIME, _ANY, _TEXT, _NULL = range(8)
"""Kinds of a key of the spec."""
PARENT, KIND, TARGET, TOKENS, ENTITY, KEY_START, KEY_STOP = range(7)
"""Columns of `keys`: the object it is in, its kind, the row of `numbers` (of an object: its own number), the row of
`tokens`, whether it is the entity, and its bytes in `names`.
"""
TOKEN_COUNT, TOKEN_BYTES, HARD = range(3)
"""Places in `meta`: tokens known, bytes of theirs, numbers left for Python to read."""
DEPTH, GUESSES = 16, 256
_ARRAY, _UNKNOWN = -2, -1


@compiled("b1(u1[::1], i8, i8, i8[:,::1], u1[::1], i8)", inline=True)
def _is_key(raw: Any, at: int, inside: int, keys: Any, names: Any, k: int) -> Any:
    first = keys[k, KEY_START]
    return keys[k, PARENT] == inside and same(raw, at, names, first, keys[k, KEY_STOP] - first)


@compiled("i8(u1[::1], i8, i8, i8, i4[::1], i8[:,::1], u1[::1], u8[::1])", inline=True)
def _key(raw: Any, start: int, stop: int, inside: int, slots: Any, keys: Any, names: Any, secret: Any) -> Any:
    """Which of `keys` an object's key is, or -1."""
    mask = len(slots) - 1
    at = np.int64(hashed(raw, start, stop, secret) + np.uint64(inside)) & mask
    while slots[at] >= 0:
        k = slots[at]
        if keys[k, KEY_STOP] - keys[k, KEY_START] == stop - start and _is_key(raw, start, inside, keys, names, k):
            return np.int64(k)
        at = (at + 1) & mask
    return -1


@compiled("i8(u1[::1], i8, i8, i4[::1], i8[:,::1], u1[::1], i8[::1], u8[::1])", inline=True)
def _token(raw: Any, start: int, stop: int, slots: Any, spans: Any, arena: Any, meta: Any, secret: Any) -> Any:
    """The number of a scalar by its bytes, a new one if need be; -1 where there is no room."""
    mask = len(slots) - 1
    at = np.int64(hashed(raw, start, stop, secret)) & mask
    size = stop - start
    while slots[at] >= 0:
        t = slots[at]
        if spans[t, 1] - spans[t, 0] == size and same(raw, start, arena, spans[t, 0], size):
            return t
        at = (at + 1) & mask
    t, first = meta[TOKEN_COUNT], meta[TOKEN_BYTES]
    if t == len(spans) or first + size > len(arena):
        return -1
    for k in range(size):
        arena[first + k] = raw[start + k]
    spans[t, 0], spans[t, 1] = first, first + size
    slots[at] = t
    meta[TOKEN_COUNT] += 1
    meta[TOKEN_BYTES] += size
    return t


@compiled("Tuple((i8, i8, f8, b1, b1))(u1[::1], i8)", inline=True)
def _scalar(raw: Any, i: int) -> Any:
    """Where the scalar at `i` ends, 0 or less for none, and what it is; of numbers and truths the value, whether that
    is exact, and whether it is written as an integer.
    """
    first = raw[i]
    if first == 34:
        return text(raw, i + 1) + 1, _TEXT, 0.0, True, True
    if first == 45 or 48 <= first <= 57:
        stop, value, exact, whole = number(raw, i)
        return stop, NUMBER, value, exact, whole
    if first == 116 and raw[i + 1] == 114 and raw[i + 2] == 117 and raw[i + 3] == 101:
        return i + 4, BOOLEAN, 1.0, True, True
    if first == 102 and raw[i + 1] == 97 and raw[i + 2] == 108 and raw[i + 3] == 115 and raw[i + 4] == 101:
        return i + 5, BOOLEAN, 0.0, True, True
    if first == 110 and raw[i + 1] == 117 and raw[i + 2] == 108 and raw[i + 3] == 108:
        return i + 4, _NULL, 0.0, True, True
    return -1, _NULL, 0.0, True, True


@compiled(
    "i8(u1[::1], i8, i8, u8[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[:,::1], u1[::1], i4[::1], i8[:,::1], u1[::1],"
    "i8[::1], f8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1])"
)
def _record(
    raw: Any, i: int, row: int, secret: Any, stack: Any, came: Any, guess: Any, key_slots: Any, keys: Any, names: Any,
    token_slots: Any, spans: Any, arena: Any, meta: Any, numbers: Any, tokens: Any, entities: Any, hard: Any,
) -> Any:  # fmt: skip
    """Read one record's value from `i` on; where it ends, white space after it included, or -1."""
    i = skip(raw, i)
    if raw[i] != 123:
        return -1
    depth, opened, place = 0, True, 0
    stack[0] = 0
    i = skip(raw, i + 1)
    while True:
        # A member is due, or the end of what was just opened.
        inside = stack[depth]
        if not (opened and raw[i] == (93 if inside == _ARRAY else 125)):
            k = -1
            if inside != _ARRAY:
                if raw[i] != 34:
                    return -1
                # Records are alike: the key is mostly the one that stood here in the record before.
                place = (place + 1) & (GUESSES - 1)
                k = guess[place]
                stop = i + 1 + (keys[k, KEY_STOP] - keys[k, KEY_START] if k >= 0 else 0)
                if k < 0 or not _is_key(raw, i + 1, inside, keys, names, k) or raw[stop] != 34:
                    stop = text(raw, i + 1)
                    if stop < 0:
                        return -1
                    k = _key(raw, i + 1, stop, inside, key_slots, keys, names, secret) if inside >= 0 else -1
                    guess[place] = k
                if k >= 0:
                    if came[k] == row:
                        return -1
                    came[k] = row
                i = skip(raw, stop + 1)
                if raw[i] != 58:
                    return -1
                i = skip(raw, i + 1)
            kind = keys[k, KIND] if k >= 0 else _ANY
            if raw[i] == 123 or raw[i] == 91:
                depth += 1
                if depth == DEPTH or (kind != _ANY and (kind != OBJECT or raw[i] == 91)):
                    return -1
                stack[depth] = _ARRAY if raw[i] == 91 else (keys[k, TARGET] if k >= 0 else _UNKNOWN)
                opened = True
                i = skip(raw, i + 1)
                continue
            stop, found, value, exact, whole = _scalar(raw, i)
            if stop <= 0 or kind == OBJECT:
                return -1
            if kind != _ANY and found != _NULL:
                if kind == SCALAR:
                    if keys[k, TOKENS] >= 0:
                        token = _token(raw, i, stop, token_slots, spans, arena, meta, secret)
                        if token < 0:
                            return -1
                        tokens[keys[k, TOKENS], row] = token
                    if keys[k, ENTITY]:
                        if not whole:
                            return -1  # 7.0 is the entity 7
                        entities[0, row], entities[1, row] = i + (found == _TEXT), stop - (found == _TEXT)
                else:
                    if kind == TIME and found == _TEXT:
                        value, found = seconds(raw, i + 1, stop - 1), NUMBER
                    if found != (BOOLEAN if kind == BOOLEAN else NUMBER) or math.isnan(value):
                        return -1
                    numbers[keys[k, TARGET], row] = value
                    if not exact:
                        if meta[HARD] == len(hard):
                            return -1
                        hard[meta[HARD], 0], hard[meta[HARD], 1] = keys[k, TARGET], row
                        hard[meta[HARD], 2], hard[meta[HARD], 3] = i, stop
                        meta[HARD] += 1
            i = skip(raw, stop)
        while raw[i] == (93 if stack[depth] == _ARRAY else 125):
            depth -= 1
            i = skip(raw, i + 1)
            if depth < 0:
                return i
        if raw[i] != 44:
            return -1
        opened = False
        i = skip(raw, i + 1)


@compiled(
    "void(u1[::1], i8[::1], i8, u8[::1], i8[::1], i8[::1], i8[::1], i4[::1], i8[:,::1], u1[::1], i4[::1], i8[:,::1],"
    "u1[::1], i8[::1], b1[::1], f8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1])",
)
def scan(
    raw: Any, sizes: Any, most: int, secret: Any, stack: Any, came: Any, guess: Any, key_slots: Any, keys: Any,
    names: Any, token_slots: Any, spans: Any, arena: Any, meta: Any,
    plain: Any, numbers: Any, tokens: Any, entities: Any, hard: Any,
) -> None:  # fmt: skip
    """Read n records, one after the other in `raw` with a byte 0 behind each, which no reading passes: it is allowed
    nowhere in JSON. `sizes` (n,) in bytes, at most `most` each; `secret` (2,) keys the hashes.
    `stack` (DEPTH,), `came` (keys,) and `guess` (GUESSES,) are for its own use.

    `plain` (n,) says which were read, the columns of others mean nothing. `numbers` (R, n): nan where missing; text of
    a time in seconds since 1970. `tokens` (C, n): numbers of scalars, 0 where missing. `entities` (2, n): where the
    entity's text begins and ends, (-1, -1) where missing. `hard` (H, 4), `meta[HARD]` of them: row of `numbers`,
    row, and place of the numbers that are left to Python.
    """
    came[:] = -1
    numbers[:] = np.nan
    tokens[:] = 0
    entities[:] = -1
    meta[HARD] = 0
    start = 0
    for row in range(len(sizes)):
        stop = start + sizes[row]
        plain[row] = sizes[row] <= most and stop == _record(
            raw, start, row, secret, stack, came, guess, key_slots, keys, names, token_slots, spans, arena, meta,
            numbers, tokens, entities, hard,
        )  # fmt: skip
        start = stop + 1
