"""A report's drawings have finite coordinates, and are thinned without losing the rows that matter."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.report.pages import Reader, alert, path, place, points, report
from training.report import render
from training.report.svg import SIDE, axis
from training.report.timeline import BUCKETS, LABELLED, bucket_bounds, bucket_maxima

GEOMETRY = {"width", "height", "x", "y", "x1", "x2", "y1", "y2", "dy"}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_coordinate_is_anything_but_a_finite_number(bad: float) -> None:
    sound = report()
    score, error, code = sound.score.copy(), sound.error.copy(), sound.code.copy()
    score[::7], error[::5], code[::3, 0], code[1::3, 1] = bad, bad, bad, bad
    features = [{"field": "f", "actual": bad, "expected": [{"value": bad, "probability": bad}], "share": bad}]
    summary = dict.fromkeys(sound.summary, bad) | {"ranked_by": "reconstruction_error"}
    broken = replace(
        sound,
        score=score,
        error=error,
        code=code,
        summary=summary,
        alerts=[alert(score=bad, p_value=bad, error=bad, features=features)],
    )
    read = Reader(render(broken))
    drawn = [attributes["d"] for attributes in read.of("path")]
    assert len(drawn) > 8
    assert all(re.fullmatch(r"(?:[MLHV]-?\d+(?: -?\d+)?|h0|z)+", d) for d in drawn)
    measures = [a[name] for tag, a in read.tags for name in GEOMETRY & a.keys() if tag != "meta"]
    assert len(measures) > 100 and all(re.fullmatch(r"-?\.?\d+(\.\d+)?(%|em)?", measure) for measure in measures)
    assert not re.search(r"\b(nan|inf|infinity)\b", read.text, re.IGNORECASE)


def test_only_bad_scores_leave_a_page_without_charts() -> None:
    page = render(report(score=np.full(3_000, np.nan)))
    assert "time-title" not in page and "At the threshold" in page


def test_constant_columns_can_be_drawn() -> None:
    page = render(
        report(
            score=np.full(3_000, 5.0),
            error=np.ones(3_000, np.float32),
            flagged=np.zeros(3_000, np.bool_),
            code=np.full((3_000, 2), 1e9, np.float32),
        )
    )
    assert "map-title" in page and "nothing else was" in page


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_an_axis_has_few_rising_ticks_within_it(a: float, b: float) -> None:
    made = axis("", min(a, b), max(a, b))
    values = [value for value, _ in made.ticks]
    slack = 1e-6 * (made.high - made.low)
    assert made.low < made.high and len(values) <= 7
    assert values == sorted(values) and all(made.low - slack <= v <= made.high + slack for v in values)


@given(st.integers(1, 400), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_each_bucket_keeps_its_maximum(n: int, buckets: int, seed: int) -> None:
    score = np.random.default_rng(seed).uniform(0, 100, n)
    bounds = bucket_bounds(n, buckets)
    assert bounds[0] == 0 and bounds[-1] == n and (np.diff(bounds) > 0).all()
    kept = bucket_maxima(score, buckets)
    assert score[kept].tolist() == [max(score[a:b]) for a, b in pairwise(bounds.tolist())]


def test_the_drawn_outline_has_every_buckets_maximum() -> None:
    made = report(50_000)
    tops = [int(top) for top in re.findall(r"V(\d+)H", path(render(made), "area"))]
    bounds = np.linspace(0, 50_000, BUCKETS + 1).astype(int)
    assert tops == [SIDE - place(max(made.score[a:b]), 0, 100) for a, b in pairwise(bounds.tolist())]


def test_every_labelled_row_is_drawn_where_it_belongs() -> None:
    made = report(30_000, anomalies=LABELLED)
    page = render(made)
    assert made.labels is not None
    low, high = made.rows[0], made.rows[-1]
    for name, chosen in (("flagged", made.labels & made.flagged), ("missed", made.labels & ~made.flagged)):
        expected = [
            (place(made.rows[i], low, high), SIDE - place(made.score[i], 0, 100)) for i in np.flatnonzero(chosen)
        ]
        assert points(path(page, f"time-{name}")) == expected
    assert f"Every labelled anomaly is drawn ({LABELLED:,})." in page


def test_more_labelled_rows_than_fit_are_thinned_and_the_caption_says_so() -> None:
    page = render(report(30_000, anomalies=12_000))
    drawn = sum(len(points(path(page, f"time-{name}"))) for name in ("flagged", "missed"))
    assert drawn == LABELLED
    assert "Of 12,000 labelled anomalies 5,000 are drawn, evenly spaced." in page


def test_the_map_has_at_most_4000_points_and_the_anomalies_come_last() -> None:
    page = render(report(30_000, anomalies=2_000))
    counts = [len(points(path(page, name))) for name in ("map-under", "map-missed", "map-flagged")]
    assert sum(counts) == 4_000 and counts[1] + counts[2] == 800
    assert page.index('id="map-under"') < page.index('id="map-missed"') < page.index('id="map-flagged"')


def test_a_million_rows_fit_in_a_page() -> None:
    page = render(report(1_000_000, anomalies=20_000, alerts=[alert(i) for i in range(100)]))
    assert len(page.encode()) < 1_500_000
