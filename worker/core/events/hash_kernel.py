"""Names by their bytes, compiled: SipHash-1-3 (Aumasson and Bernstein, INDOCRYPT 2012). Names come from outside, and
without a secret key they could be chosen to collide.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worker.core.compiled import compiled

KEY = np.array([hash("offbeat"), hash("names")], np.int64).view(np.uint64)
"""Of this process alone, as Python's own is: where a name lies in a table is never stored."""
_START = np.array([0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573], np.uint64)


@compiled("u8(u8, u8)", inline=True)
def _turned(x: Any, bits: Any) -> Any:
    return (x << bits) | (x >> (np.uint64(64) - bits))


@compiled("UniTuple(u8, 4)(u8, u8, u8, u8)", inline=True)
def _round(a: Any, b: Any, c: Any, d: Any) -> Any:
    a += b
    b = _turned(b, np.uint64(13)) ^ a
    a = _turned(a, np.uint64(32))
    c += d
    d = _turned(d, np.uint64(16)) ^ c
    a += d
    d = _turned(d, np.uint64(21)) ^ a
    c += b
    b = _turned(b, np.uint64(17)) ^ c
    c = _turned(c, np.uint64(32))
    return a, b, c, d


@compiled("u8(u1[::1], u8, u8)", inline=True)
def _word(raw: Any, at: Any, count: Any) -> Any:
    """`count` bytes from `at`, the first one lowest."""
    word = np.uint64(0)
    for i in range(count):
        word |= np.uint64(raw[at + np.uint64(i)]) << np.uint64(8 * i)
    return word


@compiled("u8(u1[::1], i8, i8, u8[::1])")
def hashed(raw: Any, start: int, stop: int, key: Any) -> Any:
    """Of the bytes from `start` to `stop`, by `key` (2,)."""
    a, b, c, d = _START[0] ^ key[0], _START[1] ^ key[1], _START[2] ^ key[0], _START[3] ^ key[1]
    at, left = np.uint64(start), stop - start
    last = np.uint64(left) << np.uint64(56)
    while left >= 0:
        word = _word(raw, at, np.uint64(8)) if left >= 8 else last | _word(raw, at, np.uint64(left))
        d ^= word
        a, b, c, d = _round(a, b, c, d)
        a ^= word
        at += np.uint64(8)
        left -= 8
    c ^= np.uint64(0xFF)
    for _ in range(3):
        a, b, c, d = _round(a, b, c, d)
    return a ^ b ^ c ^ d


@compiled("b1(u1[::1], i8, u1[::1], i8, i8)", inline=True)
def same(raw: Any, at: int, other: Any, start: int, count: int) -> Any:
    """Whether `count` bytes are the same."""
    k = 0
    while k < count and raw[at + k] == other[start + k]:
        k += 1
    return k == count


@compiled("void(u1[::1], i8[::1], i8[::1], u8[::1], u1[::1], u8[::1])")
def gather(raw: Any, starts: Any, sizes: Any, key: Any, into: Any, hashes: Any) -> None:
    """Copy n pieces of `raw`, one behind the other, and hash each that there is: a start below 0 is none, of size 0."""
    at = 0
    for i in range(len(starts)):
        if starts[i] >= 0:
            hashes[i] = hashed(raw, starts[i], starts[i] + sizes[i], key)
        for k in range(sizes[i]):
            into[at] = raw[starts[i] + k]
            at += 1
