"""The scanner's hash tables, compiled: the keys of the spec, and the scalars that records have brought."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numba
import numpy as np
from numba import b1, i4, i8, u1, u8

from worker.core.compiled import Bytes, Hashes, compiled, group_type
from worker.core.events.hash_kernel import equal_bytes, hash_bytes

KEY_FIELDS = np.dtype(
    [
        ("parent", np.int64),  # the object of the spec that the key stands in; 0 is the record
        ("kind", np.int64),  # see `json_record_kernel`
        ("target", np.int64),  # the row of `numbers` for numbers, booleans and times; an object's own number
        ("tokens", np.int64),  # the row of `tokens`, or -1
        ("is_entity", np.int64),
        ("start", np.int64),  # its bytes in `names`
        ("stop", np.int64),
    ]
)
TOKEN_COUNTS = np.dtype([("known", np.int64), ("bytes", np.int64)])

Keys = namedtuple("Keys", ["slots", "fields", "names", "secret"])
"""The keys of the spec: `fields` (K,) with their names in `names`, found through the hash table `slots`.

`secret` (2,) keys every hash of the scanner.
"""
Tokens = namedtuple("Tokens", ["slots", "spans", "arena", "counts"])
"""Distinct scalars, numbered: the bytes of scalar t lie in `arena` from `spans[t, 0]` to `spans[t, 1]`.

`slots` is a hash table of their numbers; `counts` (1,) how many are known and how many bytes of `arena` they fill.
"""
KEYS = group_type(Keys, slots=i4[::1], fields=numba.from_dtype(KEY_FIELDS)[::1], names=u1[::1], secret=u8[::1])
TOKENS = group_type(Tokens, slots=i4[::1], spans=i8[:, ::1], arena=u1[::1], counts=numba.from_dtype(TOKEN_COUNTS)[::1])


@compiled(b1(u1[::1], i8, i8, KEYS, i8), inline=True)
def is_key(raw: Bytes, start: int, inside: int, keys: Keys, k: int) -> bool:
    """Whether key `k` of the spec belongs to object `inside` and its name begins at `start`."""
    first = keys.fields[k].start
    return bool(
        keys.fields[k].parent == inside and equal_bytes(raw, start, keys.names, first, keys.fields[k].stop - first)
    )


@compiled(i8(u1[::1], i8, i8, i8, KEYS), inline=True)
def find_key(raw: Bytes, start: int, stop: int, inside: int, keys: Keys) -> Any:
    """The key of the spec that stands in object `inside` and is named by the bytes from `start` to `stop`, or -1."""
    mask = len(keys.slots) - 1
    at = np.int64(hash_bytes(raw, start, stop, keys.secret) + np.uint64(inside)) & mask
    while keys.slots[at] >= 0:
        k = keys.slots[at]
        if keys.fields[k].stop - keys.fields[k].start == stop - start and is_key(raw, start, inside, keys, k):
            return np.int64(k)
        at = (at + 1) & mask
    return -1


@compiled(i8(u1[::1], i8, i8, TOKENS, u8[::1]), inline=True)
def find_token(raw: Bytes, start: int, stop: int, tokens: Tokens, secret: Hashes) -> Any:
    """The number of the scalar in these bytes, a new one if need be; -1 if there is no room for it."""
    mask = len(tokens.slots) - 1
    at = np.int64(hash_bytes(raw, start, stop, secret)) & mask
    size = stop - start
    while tokens.slots[at] >= 0:
        t = tokens.slots[at]
        first = tokens.spans[t, 0]
        if tokens.spans[t, 1] - first == size and equal_bytes(raw, start, tokens.arena, first, size):
            return t
        at = (at + 1) & mask
    t, first = tokens.counts[0].known, tokens.counts[0].bytes
    if t == len(tokens.spans) or first + size > len(tokens.arena):
        return -1
    for k in range(size):
        tokens.arena[first + k] = raw[start + k]
    tokens.spans[t, 0], tokens.spans[t, 1] = first, first + size
    tokens.slots[at] = t
    tokens.counts[0].known += 1
    tokens.counts[0].bytes += size
    return t
