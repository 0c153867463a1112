"""Scores and alert rate along event time or along the file, and where a new version of the model took over."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from training.report.charts import SCORES, Chart, Flags, Legend, Rows, anomalies, anomaly_legend, spread
from training.report.svg import SIDE, Axis, Numbers, Places, across, across_at, axis, chart, line, shares, skyline, up
from training.report.time_axis import time_axis, time_span
from training.report.words import amount, number, percent, short

BUCKETS = 720
RATE_BUCKETS = 90
LABELLED = 5_000
_SWITCHES = 60
_LABEL_GAP = 0.09


def bucket_bounds(n: int, buckets: int) -> Rows:
    """Return the (k + 1,) bounds of k = min(n, buckets) buckets of nearly equal size."""
    return np.linspace(0, n, min(n, buckets) + 1).astype(np.int64)


def bucket_maxima(score: Numbers, buckets: int = BUCKETS) -> Rows:
    """Return (k,) indices into `score` (n,): the first of the highest scores in each bucket."""
    bounds = bucket_bounds(len(score), buckets)
    maxima = [start + int(np.argmax(score[start:end])) for start, end in pairwise(bounds.tolist())]
    return np.array(maxima, np.int64)


class Along(NamedTuple):
    """Where n rows lie along an axis, (n,) int64 in file order: row numbers, or event times in ms since 1970."""

    x: Axis
    at: Rows

    @staticmethod
    def of(rows: Rows, times: Rows | None) -> Along:
        """Along event time if there are times, else by row number; n >= 1."""
        if times is not None:
            return Along(time_axis(*time_span(times)), times)
        return Along(axis("row number", float(rows[0]), float(rows[-1]), 5, short), rows)

    @property
    def outside(self) -> str:
        """A sentence on the rows that lie beyond the axis; empty if there are none."""
        beyond = int(((self.at < self.x.low) | (self.at > self.x.high)).sum())
        return f"Rows with times far off, drawn at the edge: {beyond:,}. " * (beyond > 0)


def over_time(
    along: Along, score: Numbers, flagged: Flags, labels: Flags | None, versions: Rows, cut: float | None
) -> Chart:
    """Draw the scores along the rows; all arrays (n,) in file order. `cut` is the threshold as a score."""
    x, y = along.x, SCORES
    order = np.argsort(along.at, kind="stable")
    at, ordered = along.at[order], score[order]
    bounds, maxima = bucket_bounds(len(score), BUCKETS), bucket_maxima(ordered)
    edges = _edges(at, bounds, x)
    switches, above, note = _switches(along, versions)
    marks = skyline(edges, up(ordered[maxima], y), "area") + switches
    legend = [("area", "highest")]
    caption = f"Grey: the highest score of each {_bucket(len(score) / len(maxima))}. "
    if len(score) > 2 * len(maxima):
        medians = [float(np.median(ordered[start:end])) for start, end in pairwise(bounds.tolist())]
        marks += line(edges[:-1], up(medians, y), "typical")
        legend.append(("typical", "median"))
        caption += "Line: its median score. "
    caption += note + along.outside
    if cut is not None:
        marks += across_at(cut, y, "cut")
        legend.append(("cut", f"threshold, {number(round(cut, 1))}"))
    if labels is not None and labels.any():
        anomalous = np.flatnonzero(labels)
        shown = spread(anomalous, LABELLED)
        marks += anomalies("time", across(along.at[shown], x), up(score[shown], y), flagged[shown])
        legend += anomaly_legend(flagged, labels)
        caption += (
            f"Every labelled anomaly is drawn ({len(anomalous):,})."
            if len(shown) == len(anomalous)
            else f"Of {len(anomalous):,} labelled anomalies {len(shown):,} are drawn, evenly spaced."
        )
    title = f"Scores of {amount(len(score), 'row')} over time"
    caption = caption.strip()
    return Chart(chart("time", title, caption, x, y, marks, shape="wide", above=above), caption, tuple(legend))


def alert_rate(along: Along, flagged: Flags, target: float | None) -> Chart:
    """Draw the share of flagged rows, in buckets along the rows; all arrays (n,) in file order."""
    order = np.argsort(along.at, kind="stable")
    bounds = bucket_bounds(len(order), min(RATE_BUCKETS, max(len(order) // 50, 1)))
    sizes = np.diff(bounds)
    rates = np.add.reduceat(flagged[order].astype(np.int64), bounds[:-1]) / sizes
    x = along.x
    y = shares(0.0, max(float(rates.max()), 1.5 * (target or 0.0), 1e-6) * 1.05, "share of rows flagged", 5)
    marks = skyline(_edges(along.at[order], bounds, x), up(rates, y), "area")
    legend: Legend = (("area", "flagged"),)
    if target is not None:
        marks += across_at(target, y, "cut")
        legend += (("cut", f"target, {percent(target)}"),)
    caption = (
        f"Share flagged in each {_bucket(float(sizes.mean()))}, from {percent(float(rates.min()))} to "
        f"{percent(float(rates.max()))}."
    )
    return Chart(chart("rate", "Alert rate over time", caption, x, y, marks, shape="low"), caption, legend)


def _edges(at: Rows, bounds: Rows, x: Axis) -> Places:
    return across(np.append(at[bounds[:-1]], at[-1]), x)


def _bucket(each: float) -> str:
    return "row" if each == 1 else f"bucket of about {amount(round(each), 'row')}"


def _switches(along: Along, versions: Rows) -> tuple[str, str, str]:
    """Mark the rows at which another version begins to score; returns (marks, labels, sentence)."""
    at = np.flatnonzero(np.diff(versions, prepend=versions[0] - 1))
    if len(at) > _SWITCHES:
        return "", "", f"The model's version changes {len(at) - 1:,} times, too often to mark. "
    places = across(along.at[at], along.x)
    marks = "".join([line(np.repeat(place, 2), np.array([0, SIDE]), "switch") for place in places[1:]])
    labels, last = "", -SIDE
    for place, version in zip(places.tolist(), versions[at].tolist(), strict=True):
        if place - last >= _LABEL_GAP * SIDE:
            labels += f'<text class="version" x="{100 * place / SIDE:.2f}%" y="-6">v{version}</text>'
            last = place
    sentence = "Vertical lines: another version of the model takes over. " if len(at) > 1 else ""
    return marks, labels, sentence
