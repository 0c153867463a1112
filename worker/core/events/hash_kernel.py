"""SipHash-1-3 (Aumasson and Bernstein, INDOCRYPT 2012) of names and scalars, compiled.

The names come from outside: without a secret key, they could be chosen to collide.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worker.core.compiled import Bytes, Hashes, Ints, compiled

KEY = np.array([hash("offbeat"), hash("names")], np.int64).view(np.uint64)
"""A key of this process alone, as Python's own hash has one: no hash is ever stored."""
_START = np.array([0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573], np.uint64)


@compiled("u8(u8, u8)", inline=True)
def _rotate(x: Any, bits: Any) -> Any:
    return (x << bits) | (x >> (np.uint64(64) - bits))


@compiled("UniTuple(u8, 4)(u8, u8, u8, u8)", inline=True)
def _round(a: Any, b: Any, c: Any, d: Any) -> Any:
    a += b
    b = _rotate(b, np.uint64(13)) ^ a
    a = _rotate(a, np.uint64(32))
    c += d
    d = _rotate(d, np.uint64(16)) ^ c
    a += d
    d = _rotate(d, np.uint64(21)) ^ a
    c += b
    b = _rotate(b, np.uint64(17)) ^ c
    c = _rotate(c, np.uint64(32))
    return a, b, c, d


@compiled("u8(u1[::1], u8, u8)", inline=True)
def _read_word(raw: Bytes, at: Any, count: Any) -> Any:
    """`count` bytes from `at` as a little-endian number."""
    word = np.uint64(0)
    for i in range(count):
        word |= np.uint64(raw[at + np.uint64(i)]) << np.uint64(8 * i)
    return word


@compiled("u8(u1[::1], i8, i8, u8[::1])")
def hash_bytes(raw: Bytes, start: int, stop: int, key: Hashes) -> Any:
    """The uint64 hash of the bytes from `start` to `stop` under `key` (2,)."""
    a, b, c, d = _START[0] ^ key[0], _START[1] ^ key[1], _START[2] ^ key[0], _START[3] ^ key[1]
    at, left = np.uint64(start), stop - start
    last = np.uint64(left) << np.uint64(56)
    while left >= 0:
        word = _read_word(raw, at, np.uint64(8)) if left >= 8 else last | _read_word(raw, at, np.uint64(left))
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
def equal_bytes(raw: Bytes, at: int, other: Bytes, start: int, count: int) -> bool:
    """Whether `count` bytes of `raw` from `at` equal those of `other` from `start`; stops at the first difference."""
    k = 0
    while k < count and raw[at + k] == other[start + k]:
        k += 1
    return k == count


@compiled("void(u1[::1], i8[::1], i8[::1], u8[::1], u1[::1], u8[::1])")
def copy_names(raw: Bytes, starts: Ints, sizes: Ints, key: Hashes, into: Bytes, hashes: Hashes) -> None:
    """Copy n names from `raw` to `into`, without gaps, and hash each of them to `hashes` (n,).

    `starts` and `sizes` (n,) in bytes. A name whose start is below 0 is absent and has size 0; its hash stays as it is.
    """
    at = 0
    for i in range(len(starts)):
        if starts[i] >= 0:
            hashes[i] = hash_bytes(raw, starts[i], starts[i] + sizes[i], key)
        for k in range(sizes[i]):
            into[at] = raw[starts[i] + k]
            at += 1
