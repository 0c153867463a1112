"""An axis of event time in UTC, and the span that event times cover."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from training.report.svg import Axis
from worker.core.events.event_time import LATEST_MS

TICKS = 6
OUTLYING = 0.001
"""The share of the times at either end that may lie far off without stretching the span."""
_FAR = 10
_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000
_STEPS = (
    *(n * _SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 7, 14)),
)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1_200, 2_400, 6_000, 12_000, 24_000)
_MONTH = 30.44 * _DAY


def time_span(times: npt.NDArray[np.int64]) -> tuple[int, int]:
    """The first and the last of (n,) times, n >= 1, in ms since 1970.

    If a few times lie so far off that they stretch the span more than tenfold, they are left out: one wrong clock must
    not hide the rest.
    """
    low, high = int(times.min()), int(times.max())
    inner_low, inner_high = (int(q) for q in np.quantile(times, [OUTLYING, 1.0 - OUTLYING], method="nearest"))
    if high - low > _FAR * (inner_high - inner_low) > 0:
        return inner_low, inner_high
    return low, high


def time_axis(low: int, high: int) -> Axis:
    """An axis from `low` to `high`, with at most about six ticks at round times of UTC.

    Both are in ms since 1970, from 0 to `LATEST_MS`.
    """
    if high <= low:
        low, high = max(low - _SECOND, 0), min(low + _SECOND, LATEST_MS)
    step = next((step for step in _STEPS if high - low <= TICKS * step), None)
    if step is not None:
        at = range(-(-low // step) * step, high + 1, step)
        ticks = tuple((float(time), _text(time, step)) for time in at)
    else:
        ticks = _months(low, high)
    first, last = (f"{_day(time)} {_moment(time).year}" for time in (low, high))
    days = first if first == last else f"{first} to {last}"
    return Axis(f"event time (UTC), {days}", float(low), float(high), ticks)


def _months(low: int, high: int) -> tuple[tuple[float, str], ...]:
    step = next((n for n in _MONTHS if high - low <= TICKS * n * _MONTH), _MONTHS[-1])
    first = _moment(low)
    months = range(-(-(12 * first.year + first.month - 1) // step) * step, 12 * 9_999 + 12, step)
    starts = (datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in months)
    times = takewhile(lambda tick: tick[0] <= high, ((start.timestamp() * 1_000, start) for start in starts))
    return tuple((time, start.strftime("%Y" if step % 12 == 0 else "%b %Y")) for time, start in times if time >= low)


def _text(time: int, step: int) -> str:
    if step >= _DAY or time % _DAY == 0:
        return _day(time)
    return _moment(time).strftime("%H:%M" if step >= _MINUTE else "%H:%M:%S")


def _day(time: int) -> str:
    return f"{_moment(time).day} {_moment(time):%b}"


def _moment(time: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time)
