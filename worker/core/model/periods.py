"""Times within a period: as an angle for the model, and as text for an alert. Periods and times are seconds, UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

SECONDS = {"hour": 3_600.0, "day": 86_400.0, "week": 604_800.0, "year": 31_556_952.0}
"""By `period` of a cyclic feature; a year is the Gregorian calendar's mean."""
_MONDAY = 345_600.0  # 1970-01-05: weeks begin on a Monday


def angles_of(seconds: npt.NDArray[np.float64], period: str) -> npt.NDArray[np.float64]:
    """(n,) float64 seconds since 1970, none nan, to (n,) float64 radians in [0, 2 pi)."""
    shift = _MONDAY if period == "week" else 0.0
    return 2.0 * np.pi * np.mod(seconds - shift, SECONDS[period]) / SECONDS[period]


def texts_of(sines: npt.NDArray[np.float64], cosines: npt.NDArray[np.float64], period: str) -> list[str]:
    """The times of n angles, given by (n,) sines and cosines of any common length.

    "xx:07" (minutes past the hour), "14:30", "Tue 14:30" or "03-15".
    """
    turns = np.arctan2(sines, cosines) / (2.0 * np.pi) % 1.0
    return [_text_of(turn * SECONDS[period], period) for turn in turns.tolist()]


def _text_of(seconds: float, period: str) -> str:
    if period == "hour":
        return f"xx:{int(seconds // 60):02d}"
    if period == "week":
        return datetime.fromtimestamp(seconds + _MONDAY, UTC).strftime("%a %H:%M")
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M" if period == "day" else "%m-%d")


def instant_of(seconds: float) -> str:
    """A time since 1970 in RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
