"""Times as events write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

SECONDS_BELOW = 1e11
"""A number below this is in seconds since 1970, from it on in milliseconds: 1e11 s is the year 5138, 1e11 ms is
March 1973.
"""
_FARTHEST_MS = 253_402_300_799_999.0


def milliseconds(value: str | float) -> float:
    """Milliseconds since 1970 of ISO 8601 text (UTC where it names no zone) or of a number; ValueError with the
    reason.
    """
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("not a time in ISO 8601") from None
        stamp = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000.0
    else:
        if not math.isfinite(value):
            raise ValueError("not a finite time")
        stamp = value * 1000.0 if abs(value) < SECONDS_BELOW else value
    if not -_FARTHEST_MS <= stamp <= _FARTHEST_MS:
        raise ValueError("a time outside the years 0 to 9999")
    return stamp


def stamps(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """`milliseconds` of numbers (n,), nan for nan; and (n,) False for those that it refuses."""
    found = values * np.where(np.abs(values) < SECONDS_BELOW, 1000.0, 1.0)
    return found, ~(np.abs(found) > _FARTHEST_MS)
