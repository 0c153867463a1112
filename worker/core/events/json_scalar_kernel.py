"""Scalars of JSON in bytes, compiled: where they end and what they say. -1 or nan where they are not plain.

Nothing here looks past a byte 0, which JSON allows nowhere: one must stand behind what is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worker.core.compiled import compiled

_DIGITS_MOST, _EXPONENT_MOST = 19, 280
_ZERO, _TEN, _EXACT = np.uint64(0), np.uint64(10), np.uint64(2**53)
_POWERS = np.array([float(f"1e{i}") for i in range(23)])
_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


@compiled("i8(u1[::1], i8)", inline=True)
def skip(raw: Any, i: int) -> Any:
    while raw[i] <= 32 and (raw[i] == 32 or raw[i] == 10 or raw[i] == 13 or raw[i] == 9):
        i += 1
    return i


@compiled("i8(u1[::1], i8)", inline=True)
def text(raw: Any, i: int) -> Any:
    """Where the text that begins at `i` ends: the place of its closing quote, or -1."""
    while raw[i] != 34:
        if raw[i] < 32 or raw[i] > 127 or raw[i] == 92:
            return -1
        i += 1
    return i


@compiled("Tuple((i8, f8, b1, b1))(u1[::1], i8)", inline=True)
def number(raw: Any, i: int) -> Any:
    """Where a number ends or -1, its value, whether that is exact, and whether it is written as an integer."""
    negative = raw[i] == 45
    i += negative
    start = i
    mantissa = _ZERO
    while 48 <= raw[i] <= 57:
        mantissa = mantissa * _TEN + np.uint64(raw[i] - 48)
        i += 1
    digits = i - start
    if digits == 0 or (digits > 1 and raw[start] == 48):
        return -1, 0.0, False, False
    exponent: Any = 0
    integer = True
    if raw[i] == 46:
        integer = False
        i += 1
        point = i
        while 48 <= raw[i] <= 57:
            mantissa = mantissa * _TEN + np.uint64(raw[i] - 48)
            i += 1
        if i == point:
            return -1, 0.0, False, False
        exponent = point - i
        digits += i - point
    if raw[i] == 101 or raw[i] == 69:
        integer = False
        i += 1
        down = raw[i] == 45
        i += raw[i] == 45 or raw[i] == 43
        first = i
        power: Any = 0
        while 48 <= raw[i] <= 57 and power < _EXPONENT_MOST:
            power = 10 * power + np.int64(raw[i]) - 48
            i += 1
        if i == first:
            return -1, 0.0, False, False
        exponent += -power if down else power
    if digits > _DIGITS_MOST or abs(exponent) > _EXPONENT_MOST or (negative and mantissa == _ZERO):
        return -1, 0.0, False, False
    if mantissa > _EXACT or abs(exponent) > 22:
        return i, 0.0, False, integer
    # Both factors are exact and so is the rounding of one operation (Clinger, PLDI 1990).
    value = float(mantissa)
    value = value * _POWERS[exponent] if exponent >= 0 else value / _POWERS[-exponent]
    return i, -value if negative else value, True, integer


@compiled("i8(u1[::1], i8, i8)")
def _digits(raw: Any, i: int, count: int) -> Any:
    """The number in exactly so many digits, or -1."""
    value: Any = 0
    for k in range(i, i + count):
        if not 48 <= raw[k] <= 57:
            return -1
        value = 10 * value + np.int64(raw[k]) - 48
    return value


@compiled("f8(u1[::1], i8, i8)")
def seconds(raw: Any, i: int, stop: int) -> Any:
    """Seconds since 1970 of `2026-01-01T06:00:00[.123456][Z or +02:00]`, nan for any other form or year."""
    if stop - i < 19 or raw[i + 4] != 45 or raw[i + 7] != 45 or raw[i + 13] != 58 or raw[i + 16] != 58:
        return np.nan
    year, month, day = _digits(raw, i, 4), _digits(raw, i + 5, 2), _digits(raw, i + 8, 2)
    hour, minute, second = _digits(raw, i + 11, 2), _digits(raw, i + 14, 2), _digits(raw, i + 17, 2)
    if not (1971 <= year <= 2199 and 1 <= month <= 12) or (raw[i + 10] != 84 and raw[i + 10] != 32):
        return np.nan
    leap = (month == 2 and year % 4 == 0 and year % 100 != 0) or (month == 2 and year % 400 == 0)
    if not (1 <= day <= _DAYS[month - 1] + leap and 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return np.nan
    i += 19
    micros = 0
    if raw[i] == 46:
        first = i + 1
        i = first
        while 48 <= raw[i] <= 57:
            i += 1
        if not 1 <= i - first <= 6:
            return np.nan
        micros = _digits(raw, first, i - first)
        for _ in range(first + 6 - i):
            micros *= 10
    if raw[i] == 90:
        i += 1
    elif stop - i == 6 and (raw[i] == 43 or raw[i] == 45):
        east, west = _digits(raw, i + 1, 2), _digits(raw, i + 4, 2)
        if raw[i + 3] != 58 or not (0 <= east < 24 and 0 <= west < 60):
            return np.nan
        minute -= (60 * east + west) * (1 if raw[i] == 43 else -1)
        i += 6
    if i != stop:
        return np.nan
    # Days since 1970 of a date in the Gregorian calendar, years counted from March.
    shifted = year - (month <= 2)
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400
    days += (153 * ((month + 9) % 12) + 2) // 5 + day - 1 - 719_468
    total = ((days * 24 + hour) * 60 + minute) * 60 + second
    # Below 2^53, so that the quotient is rounded once, as `datetime.timestamp` does.
    return (total * 1_000_000 + micros) / 1e6
