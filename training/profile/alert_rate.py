"""Proposes an alert rate for a sample, and says how many alerts to expect from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

DAY_S = 86_400
ALERT_RATE = 0.001
EXPECTED_FLAGS = 100
LARGE_SAMPLE, VERY_LARGE_SAMPLE = 50_000, 200_000
MANY_A_DAY = 200.0
"""More flagged events a day than this are more than people read."""
_RATES = (0.002, 0.005, 0.01)
_LOWEST = 0.0005


def suggest_alert_rate(rows: int) -> float:
    """The share of events to flag, for a sample of this many rows.

    It is the nearest of 0.002, 0.005 and 0.01, by ratio, to 100 flagged events in the sample: a stream can be judged
    only if it alerts at all, and the threshold is calibrated on some 500 to 5,000 held-out rows, which do not resolve
    much smaller shares. A sample of 50,000 rows or more comes from a large stream and gets the default of 0.001, at
    least 50 flagged events; one of 200,000 rows or more 0.0005, at least 100. So the rate is never above 0.01, where a
    sample of fewer than 10,000 rows may alert less.
    """
    if rows >= VERY_LARGE_SAMPLE:
        return _LOWEST
    if rows >= LARGE_SAMPLE:
        return ALERT_RATE
    wanted = EXPECTED_FLAGS / max(rows, 1)
    return min(_RATES, key=lambda rate: abs(math.log(rate / wanted)))


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an alert rate leads to.

    `rate` is a share of events, `rows` the size of the sample, `event_rate` in events per second, None if unknown,
    `entities` the number of different entities in the sample, None if no field names them, and `cooldown` in seconds.
    """

    rate: float
    rows: int
    event_rate: float | None
    entities: int | None
    cooldown: float

    @property
    def flagged_per_day(self) -> float | None:
        return None if self.event_rate is None else self.event_rate * DAY_S * self.rate

    def describe(self) -> list[str]:
        """The expectation in sentences."""
        sample = f"{self.rate:g} of all events: about {self.rate * self.rows:,.0f} flagged in a sample of {self.rows:,}"
        flagged = self.flagged_per_day
        if flagged is None:
            return [f"{sample}; the number per day is unknown, because the events have no times to estimate it from"]
        sentences = [
            f"{sample}, about {_rounded(flagged)} a day at {self.event_rate:,.3g} events/s",
            "There are fewer alerts than flagged events: those of an entity within the cooldown of "
            f"{self.cooldown:g} s are one alert",
        ]
        if flagged > MANY_A_DAY:
            sentences.append(
                f"{_rounded(flagged)} a day are many: raise alerts.cooldown, read the severe ones first, and lower "
                "alert_rate once the model has seen more of the stream"
            )
        return sentences


def _rounded(number: float) -> str:
    """Three digits, without an exponent: 86.4, 1,730."""
    digits = 2 - math.floor(math.log10(number)) if number > 0 else 0
    return f"{round(number, digits):,.{max(digits, 0)}f}"


def describe_entities(entities: int, event_rate: float | None, cooldown: float) -> str:
    """What the choice of an entity with this many values means for alerts."""
    text = "incidents and cooldowns are per entity"
    if event_rate is None or event_rate * cooldown < entities:
        return text
    each = event_rate * cooldown / entities
    return (
        f"{text}. This one is coarse, with {each:,.3g} events of each within a cooldown of {cooldown:g} s: of several "
        "anomalies of one entity in that time, only the first is an alert"
    )
