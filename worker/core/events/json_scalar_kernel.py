"""Scalars of JSON in bytes, compiled: where they end and which value they have; -1 or nan if they are not plain.

A byte 0, which JSON allows nowhere, must follow the text: no function here reads past it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worker.core.compiled import Bytes, compiled

SPACE, TAB, NEWLINE, RETURN = ord(" "), ord("\t"), ord("\n"), ord("\r")
QUOTE, BACKSLASH, COMMA, COLON = ord('"'), ord("\\"), ord(","), ord(":")
OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET = ord("{"), ord("}"), ord("["), ord("]")
ZERO, NINE, MINUS, PLUS, POINT = ord("0"), ord("9"), ord("-"), ord("+"), ord(".")
LOWER_E, UPPER_E, UPPER_T, UPPER_Z = ord("e"), ord("E"), ord("T"), ord("Z")
_LAST_ASCII = 127
_MAX_DIGITS, _MAX_EXPONENT = 19, 280
_U0, _U10, _LARGEST_EXACT = np.uint64(0), np.uint64(10), np.uint64(2**53)
_POWERS = np.array([float(f"1e{i}") for i in range(23)])
_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_DATE_AND_TIME = len("2026-01-01T06:00:00")
_OFFSET = len("+02:00")


@compiled("i8(u1[::1], i8)", inline=True)
def skip_space(raw: Bytes, i: int) -> int:
    """The position of the first byte from `i` on that is not white space."""
    while raw[i] <= SPACE and (raw[i] == SPACE or raw[i] == NEWLINE or raw[i] == RETURN or raw[i] == TAB):
        i += 1
    return i


@compiled("i8(u1[::1], i8)", inline=True)
def end_of_text(raw: Bytes, i: int) -> int:
    """The position of the closing quote of a text whose first character is at `i`; -1 if it is not plain ASCII."""
    while raw[i] != QUOTE:
        if raw[i] < SPACE or raw[i] > _LAST_ASCII or raw[i] == BACKSLASH:
            return -1
        i += 1
    return i


@compiled("Tuple((i8, f8, b1, b1))(u1[::1], i8)", inline=True)
def read_number(raw: Bytes, i: int) -> Any:
    """Where the number at `i` ends or -1, its value, whether that is exact, and whether it is written as an integer."""
    negative = raw[i] == MINUS
    i += negative
    start = i
    mantissa = _U0
    while ZERO <= raw[i] <= NINE:
        mantissa = mantissa * _U10 + np.uint64(raw[i] - ZERO)
        i += 1
    digits = i - start
    if digits == 0 or (digits > 1 and raw[start] == ZERO):
        return -1, 0.0, False, False
    exponent = 0
    integer = True
    if raw[i] == POINT:
        integer = False
        i += 1
        first = i
        while ZERO <= raw[i] <= NINE:
            mantissa = mantissa * _U10 + np.uint64(raw[i] - ZERO)
            i += 1
        if i == first:
            return -1, 0.0, False, False
        exponent = first - i
        digits += i - first
    if raw[i] == LOWER_E or raw[i] == UPPER_E:
        integer = False
        i += 1
        down = raw[i] == MINUS
        i += raw[i] == MINUS or raw[i] == PLUS
        first = i
        power: Any = 0
        while ZERO <= raw[i] <= NINE and power < _MAX_EXPONENT:
            power = 10 * power + np.int64(raw[i]) - ZERO
            i += 1
        if i == first:
            return -1, 0.0, False, False
        exponent += -power if down else power
    if digits > _MAX_DIGITS or abs(exponent) > _MAX_EXPONENT or (negative and mantissa == _U0):
        return -1, 0.0, False, False
    if mantissa > _LARGEST_EXACT or abs(exponent) > 22:
        return i, 0.0, False, integer
    # Both factors are exact, so the one operation rounds correctly (Clinger, PLDI 1990).
    value = float(mantissa)
    value = value * _POWERS[exponent] if exponent >= 0 else value / _POWERS[-exponent]
    return i, -value if negative else value, True, integer


@compiled("i8(u1[::1], i8, i8)")
def _read_digits(raw: Bytes, i: int, count: int) -> Any:
    """The value of exactly `count` digits from `i`; -1 if one of these bytes is not a digit."""
    value: Any = 0
    for k in range(i, i + count):
        if not ZERO <= raw[k] <= NINE:
            return -1
        value = 10 * value + np.int64(raw[k]) - ZERO
    return value


@compiled("f8(u1[::1], i8, i8)")
def read_time(raw: Bytes, i: int, stop: int) -> Any:
    """Seconds since 1970 of `2026-01-01T06:00:00[.123456][Z or +02:00]`, nan for any other form or year."""
    if stop - i < _DATE_AND_TIME:
        return np.nan
    if raw[i + 4] != MINUS or raw[i + 7] != MINUS or raw[i + 13] != COLON or raw[i + 16] != COLON:
        return np.nan
    year, month, day = _read_digits(raw, i, 4), _read_digits(raw, i + 5, 2), _read_digits(raw, i + 8, 2)
    hour, minute, second = _read_digits(raw, i + 11, 2), _read_digits(raw, i + 14, 2), _read_digits(raw, i + 17, 2)
    if not (1971 <= year <= 2199 and 1 <= month <= 12) or (raw[i + 10] != UPPER_T and raw[i + 10] != SPACE):
        return np.nan
    leap = (month == 2 and year % 4 == 0 and year % 100 != 0) or (month == 2 and year % 400 == 0)
    if not (1 <= day <= _DAYS[month - 1] + leap and 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return np.nan
    i += _DATE_AND_TIME
    micros = 0
    if raw[i] == POINT:
        first = i + 1
        i = first
        while ZERO <= raw[i] <= NINE:
            i += 1
        if not 1 <= i - first <= 6:
            return np.nan
        micros = _read_digits(raw, first, i - first)
        for _ in range(first + 6 - i):
            micros *= 10
    if raw[i] == UPPER_Z:
        i += 1
    elif stop - i == _OFFSET and (raw[i] == PLUS or raw[i] == MINUS):
        hours, minutes = _read_digits(raw, i + 1, 2), _read_digits(raw, i + 4, 2)
        if raw[i + 3] != COLON or not (0 <= hours < 24 and 0 <= minutes < 60):
            return np.nan
        minute -= (60 * hours + minutes) * (1 if raw[i] == PLUS else -1)
        i += _OFFSET
    if i != stop:
        return np.nan
    # Days since 1970 in the Gregorian calendar, with years that begin in March.
    shifted = year - (month <= 2)
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400
    days += (153 * ((month + 9) % 12) + 2) // 5 + day - 1 - 719_468
    total = ((days * 24 + hour) * 60 + minute) * 60 + second
    # The dividend is below 2^53, so the quotient is rounded only once, as in `datetime.timestamp`.
    return (total * 1_000_000 + micros) / 1e6
