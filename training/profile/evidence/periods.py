"""Decides which rhythms of a time can be learned from a sample: that of the day, and that of the week."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.core.events.event_time import milliseconds

HOUR_MS = 3_600_000.0
DAY_MS, WEEK_MS = 24 * HOUR_MS, 7 * 24 * HOUR_MS
MIN_PERIODS = 2
"""In less than two periods, nothing that happens at a time of day can be told from what happened once."""
_SPAN = (0.005, 0.995)


def parse_times(values: Sequence[Any]) -> npt.NDArray[np.float64]:
    """The times of n events as (n,) float64 ms since 1970, NaN where missing. Raises ValueError for an invalid time."""
    return np.array([np.nan if value is None else milliseconds(value) for value in values], np.float64)


def span_ms(times: npt.NDArray[np.float64]) -> float:
    """The time in ms that (n,) times in ms cover, nan where missing; 0 if fewer than two are known.

    The first and last half percent of the times are extrapolated from the others, so that a stray time does not
    stretch the span.
    """
    known = times[np.isfinite(times)]
    if len(known) < 2:
        return 0.0
    first, last = np.quantile(known, _SPAN)
    return float(min(known.max() - known.min(), (last - first) / (_SPAN[1] - _SPAN[0])))


def choose_periods(
    name: str, times: npt.NDArray[np.float64], *, whole_days: bool = False
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """The cyclic features of a time, those to add later, and why they are left out.

    `times` (n,) are in ms, nan where missing. A period is chosen if the times cover it twice. `whole_days` says that
    they are dates without a time of day; they have no daily rhythm.
    """
    span = span_ms(times)
    lengths = {"day": DAY_MS, "week": WEEK_MS}
    if whole_days:
        del lengths["day"]
    features = {period: {"field": name, "kind": "cyclic", "period": period} for period in lengths}
    chosen = [features[period] for period, length in lengths.items() if span >= MIN_PERIODS * length]
    later = [feature for feature in features.values() if feature not in chosen]
    if not later:
        return chosen, later, ""
    needs = {"day": "the time of day needs two days", "week": "the day of the week needs two weeks"}
    reason = f"the sample covers {describe_span(span)}; {' and '.join(needs[feature['period']] for feature in later)}"
    return chosen, later, f"{reason}; add it once the history is long enough"


def describe_span(span: float) -> str:
    """A span in ms in words, such as `22.2 hours` or `3.5 days`."""
    if span < MIN_PERIODS * HOUR_MS:
        return f"{span / 60_000:.3g} minutes"
    return f"{span / HOUR_MS:.3g} hours" if span < MIN_PERIODS * DAY_MS else f"{span / DAY_MS:.3g} days"
