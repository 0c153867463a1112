"""A JSON scanner for plain records, compiled: the fields of the spec straight into columns, without Python objects.

It reads a subset of JSON and gives up on everything else: text that is not ASCII or has escapes, numbers beyond 19
digits, a key of the spec that comes twice, deep nesting, anything malformed. The typed decoder reads the records that
it gives up on, and decides alone which are rejected. The records that the scanner does read give the same values as
with the typed decoder.
"""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np
from numba import b1, f8, i8, u1, void

from worker.core.compiled import Bytes, Ints, compiled, group_type
from worker.core.events.json_lookup_kernel import KEYS, TOKENS, Keys, Tokens, find_key, find_token, is_key
from worker.core.events.json_scalar_kernel import (
    CLOSE_BRACE,
    CLOSE_BRACKET,
    COLON,
    COMMA,
    MINUS,
    NINE,
    OPEN_BRACE,
    OPEN_BRACKET,
    QUOTE,
    ZERO,
    end_of_text,
    read_number,
    read_time,
    skip_space,
)

# Kinds of a key of the spec and of a scalar.
OBJECT, NUMBER, BOOLEAN, SCALAR, TIME, _ANY, _TEXT, _NULL = range(8)
MAX_DEPTH = 16
GUESSES = 256
"""Members of a record whose keys are guessed; a power of two."""
# Which object a member belongs to, beside the objects of the spec (0, 1, ...).
_ARRAY, _UNKNOWN = -2, -1
# The letters of true, false and null.
_T, _R, _U, _E, _F, _A, _L, _S, _N = (ord(letter) for letter in "truefalsn")

Scratch = namedtuple("Scratch", ["stack", "seen_in", "guesses"])
"""Memory for the scanner's own use.

`stack` (MAX_DEPTH,) holds the open objects and arrays. `seen_in` (K,) is the last row in which a key came. `guesses`
(GUESSES,) is the key that was last found at each position of a record; it lasts from batch to batch.
"""
Results = namedtuple("Results", ["plain", "numbers", "tokens", "entities", "inexact", "inexact_count"])
"""The scanner's output for n records.

`plain` (n,) marks the records that were read; the columns of the others mean nothing. `numbers` (R, n): nan if missing;
the text of a time in seconds since 1970. `tokens` (C, n): numbers of scalars, 0 if missing. `entities` (2, n): where
the entity's text begins and ends, (-1, -1) if missing. `inexact` (H, 4): row of `numbers`, record, start and stop of
the numbers that are left to Python; `inexact_count` (1,) of them.
"""
_SCRATCH = group_type(Scratch, stack=i8[::1], seen_in=i8[::1], guesses=i8[::1])
_RESULTS = group_type(
    Results,
    plain=b1[::1],
    numbers=f8[:, ::1],
    tokens=i8[:, ::1],
    entities=i8[:, ::1],
    inexact=i8[:, ::1],
    inexact_count=i8[::1],
)
_Scalar = namedtuple("_Scalar", ["stop", "kind", "value", "exact", "integer"])
"""A scalar of a record: where it ends (0 or less if there is none), and its kind; for numbers and booleans its value,
whether that is exact, and whether it is written as an integer.
"""
_Member = namedtuple("_Member", ["key", "value"])
"""The key of the spec that a member has (-1 for none), and where its value begins (-1 if the scanner gives up)."""
_MEMBER = group_type(_Member, key=i8, value=i8)
_SCALAR = group_type(_Scalar, stop=i8, kind=i8, value=f8, exact=b1, integer=b1)


@compiled(_SCALAR(u1[::1], i8), inline=True)
def _read_scalar(raw: Bytes, i: int) -> _Scalar:
    """The scalar at `i`."""
    first = raw[i]
    if first == QUOTE:
        return _Scalar(end_of_text(raw, i + 1) + 1, _TEXT, 0.0, True, True)
    if first == MINUS or ZERO <= first <= NINE:
        stop, value, exact, integer = read_number(raw, i)
        return _Scalar(stop, NUMBER, value, exact, integer)
    if first == _T and raw[i + 1] == _R and raw[i + 2] == _U and raw[i + 3] == _E:
        return _Scalar(i + 4, BOOLEAN, 1.0, True, True)
    if first == _F and raw[i + 1] == _A and raw[i + 2] == _L and raw[i + 3] == _S and raw[i + 4] == _E:
        return _Scalar(i + 5, BOOLEAN, 0.0, True, True)
    if first == _N and raw[i + 1] == _U and raw[i + 2] == _L and raw[i + 3] == _L:
        return _Scalar(i + 4, _NULL, 0.0, True, True)
    return _Scalar(-1, _NULL, 0.0, True, True)


@compiled(i8(i8), inline=True)
def _closing(inside: int) -> int:
    """The byte that ends an array or object."""
    return CLOSE_BRACKET if inside == _ARRAY else CLOSE_BRACE


@compiled(_MEMBER(u1[::1], i8, i8, i8, i8, KEYS, _SCRATCH), inline=True)
def _read_key(raw: Bytes, i: int, row: int, inside: int, place: int, keys: Keys, scratch: Scratch) -> _Member:
    """Read the key and colon at `i` of a member, the `place`th of its record (modulo GUESSES)."""
    if raw[i] != QUOTE:
        return _Member(-1, -1)
    # Records are alike: most keys are the one that came at this place of the record before.
    k = scratch.guesses[place]
    stop = i + 1 + (keys.fields[k].stop - keys.fields[k].start if k >= 0 else 0)
    if k < 0 or not is_key(raw, i + 1, inside, keys, k) or raw[stop] != QUOTE:
        stop = end_of_text(raw, i + 1)
        if stop < 0:
            return _Member(-1, -1)
        k = find_key(raw, i + 1, stop, inside, keys) if inside >= 0 else -1
        scratch.guesses[place] = k
    if k >= 0:
        if scratch.seen_in[k] == row:
            return _Member(-1, -1)
        scratch.seen_in[k] = row
    i = skip_space(raw, stop + 1)
    return _Member(k, skip_space(raw, i + 1) if raw[i] == COLON else -1)


@compiled(b1(u1[::1], i8, i8, i8, _SCALAR, KEYS, TOKENS, _RESULTS), inline=True)
def _store_scalar(
    raw: Bytes, i: int, row: int, k: int, scalar: _Scalar, keys: Keys, tokens: Tokens, results: Results
) -> bool:
    """Store the scalar at `i` as the value of key `k`; False if the scanner gives up."""
    if keys.fields[k].tokens >= 0:
        token = find_token(raw, i, scalar.stop, tokens, keys.secret)
        if token < 0:
            return False
        results.tokens[keys.fields[k].tokens, row] = token
    if keys.fields[k].is_entity:
        if not scalar.integer:
            return False  # 7.0 is the entity 7
        quote = scalar.kind == _TEXT
        results.entities[0, row], results.entities[1, row] = i + quote, scalar.stop - quote
    return True


@compiled(b1(u1[::1], i8, i8, i8, i8, _SCALAR, _RESULTS), inline=True)
def _store_number(raw: Bytes, i: int, row: int, target: int, kind: int, scalar: _Scalar, results: Results) -> bool:
    """Store the number, boolean or time at `i` in row `target` of `numbers`; False if the scanner gives up."""
    value, found = scalar.value, scalar.kind
    if kind == TIME and found == _TEXT:
        value, found = read_time(raw, i + 1, scalar.stop - 1), NUMBER
    if found != (BOOLEAN if kind == BOOLEAN else NUMBER) or math.isnan(value):
        return False
    results.numbers[target, row] = value
    if not scalar.exact:
        count = results.inexact_count[0]
        if count == len(results.inexact):
            return False
        results.inexact[count, 0], results.inexact[count, 1] = target, row
        results.inexact[count, 2], results.inexact[count, 3] = i, scalar.stop
        results.inexact_count[0] += 1
    return True


@compiled(i8(u1[::1], i8, i8, i8, i8, KEYS, TOKENS, _RESULTS), inline=True)
def _read_value(raw: Bytes, i: int, row: int, k: int, kind: int, keys: Keys, tokens: Tokens, results: Results) -> int:
    """Read the scalar at `i`, the value of key `k`; where it ends, or -1 if the scanner gives up."""
    scalar = _read_scalar(raw, i)
    stop: int = scalar.stop
    if stop <= 0 or kind == OBJECT:
        return -1
    if kind != _ANY and scalar.kind != _NULL:
        if kind == SCALAR:
            if not _store_scalar(raw, i, row, k, scalar, keys, tokens, results):
                return -1
        elif not _store_number(raw, i, row, keys.fields[k].target, kind, scalar, results):
            return -1
    return stop


@compiled(i8(u1[::1], i8, i8, KEYS, TOKENS, _SCRATCH, _RESULTS))
def _read_record(raw: Bytes, i: int, row: int, keys: Keys, tokens: Tokens, scratch: Scratch, results: Results) -> int:
    """Read one record's value from `i` on; where it ends, including the white space after it, or -1 if the scanner
    gives up.
    """
    i = skip_space(raw, i)
    if raw[i] != OPEN_BRACE:
        return -1
    depth, opened, place = 0, True, 0
    scratch.stack[0] = 0
    i = skip_space(raw, i + 1)
    while True:
        # Either a member or element comes next, or the object or array that has just been opened ends at once.
        inside = scratch.stack[depth]
        if not (opened and raw[i] == _closing(inside)):
            k = -1
            if inside != _ARRAY:
                place = (place + 1) & (GUESSES - 1)
                k, i = _read_key(raw, i, row, inside, place, keys, scratch)
                if i < 0:
                    return -1
            kind = keys.fields[k].kind if k >= 0 else _ANY
            if raw[i] == OPEN_BRACE or raw[i] == OPEN_BRACKET:
                array = raw[i] == OPEN_BRACKET
                depth += 1
                if depth == MAX_DEPTH or (kind != _ANY and (kind != OBJECT or array)):
                    return -1
                scratch.stack[depth] = _ARRAY if array else (keys.fields[k].target if k >= 0 else _UNKNOWN)
                opened = True
                i = skip_space(raw, i + 1)
                continue
            i = _read_value(raw, i, row, k, kind, keys, tokens, results)
            if i < 0:
                return -1
            i = skip_space(raw, i)
        while raw[i] == _closing(scratch.stack[depth]):
            depth -= 1
            i = skip_space(raw, i + 1)
            if depth < 0:
                return i
        if raw[i] != COMMA:
            return -1
        opened = False
        i = skip_space(raw, i + 1)


@compiled(void(u1[::1], i8[::1], i8, KEYS, TOKENS, _SCRATCH, _RESULTS))
def scan(
    raw: Bytes, sizes: Ints, max_bytes: int, keys: Keys, tokens: Tokens, scratch: Scratch, results: Results
) -> None:
    """Read n records that lie one after the other in `raw`, each followed by a byte 0, which JSON allows nowhere: no
    read goes past it. `sizes` (n,) in bytes; records of more than `max_bytes` are not read.
    """
    scratch.seen_in[:] = -1
    results.numbers[:] = np.nan
    results.tokens[:] = 0
    results.entities[:] = -1
    results.inexact_count[0] = 0
    start = 0
    for row in range(len(sizes)):
        stop = start + sizes[row]
        results.plain[row] = sizes[row] <= max_bytes and stop == _read_record(
            raw, start, row, keys, tokens, scratch, results
        )
        start = stop + 1
