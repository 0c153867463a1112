"""The proposed alert rate lets a stream of the sample's size alert, and the number of alerts is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.profile.alert_rate import Expectation, describe_entities, suggest_alert_rate


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(600, 0.01), (8_000, 0.01), (20_000, 0.005), (25_000, 0.005), (40_000, 0.002), (50_000, 0.001), (10**6, 0.0005)],
)
def test_the_rate_follows_the_size_of_the_sample(rows: int, expected: float) -> None:
    assert suggest_alert_rate(rows) == expected


@given(st.integers(0, 10**8))
def test_a_sample_of_some_size_alerts_several_dozen_times_within_the_bounds(rows: int) -> None:
    rate = suggest_alert_rate(rows)
    assert 0.0005 <= rate <= 0.01
    if rows >= 5_000:
        assert rate * rows >= 48
    if rows < 200_000:
        assert rate * rows <= 200


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_larger_sample_never_gets_a_higher_rate(rows: int, more: int) -> None:
    assert suggest_alert_rate(rows + more) <= suggest_alert_rate(rows)


def test_the_expectation_is_said_in_the_sample_and_per_day() -> None:
    few = Expectation(rate=0.005, rows=20_000, event_rate=0.25, entities=20, cooldown=60.0).describe()
    assert few[0] == "0.005 of all events: about 100 flagged in a sample of 20,000, about 108 a day at 0.25 events/s"
    assert "those of an entity within the cooldown of 60 s are one alert" in few[1] and len(few) == 2
    many = Expectation(rate=0.001, rows=50_000, event_rate=1_000.0, entities=None, cooldown=60.0).describe()
    assert many[2].startswith("86,400 a day are many: raise alerts.cooldown") and "lower alert_rate" in many[2]
    [unknown] = Expectation(rate=0.01, rows=8_000, event_rate=None, entities=None, cooldown=60.0).describe()
    assert "about 80 flagged in a sample of 8,000; the number per day is unknown" in unknown


def test_a_coarse_entity_is_explained() -> None:
    assert describe_entities(20, 0.25, 60.0) == "incidents and cooldowns are per entity"
    coarse = describe_entities(7, 7.0, 60.0)  # each of the seven has one event a second
    assert "coarse, with 60 events of each within a cooldown of 60 s" in coarse
    assert describe_entities(7, None, 60.0) == "incidents and cooldowns are per entity"
