"""Charts of how well the scores separate anomalous from normal rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve

from training.report.charts import SCORES, Chart, Flags, Rows
from training.report.svg import Numbers, across, across_at, chart, columns, dots, line, shares, up, upright_at
from training.report.words import number, percent

CURVE = 400
BINS = 40


def ranks(score: Numbers, error: npt.NDArray[Any]) -> Rows:
    """Rank (n,) rows by score, then by error; rows with the same score and error have the same rank."""
    order = np.lexsort((error, score))
    rises = (np.diff(score[order]) != 0) | (np.diff(error[order]) != 0)
    rank = np.empty(len(score), np.int64)
    rank[order] = np.concatenate(([0], np.cumsum(rises)))
    return rank


def curve(labels: Flags, rank: npt.NDArray[Any]) -> tuple[Numbers, Numbers]:
    """Return (recall, precision), both (m,) with m at most `CURVE`: rising recall, and the best precision at each."""
    precision, recall, _ = precision_recall_curve(labels, rank)
    precision, recall = precision[-2::-1], recall[-2::-1]  # drops (0, 1), which no threshold reaches
    index = np.unique(np.searchsorted(recall, np.linspace(recall[0], recall[-1], CURVE)))
    return recall[index], precision[index]


def precision_recall(
    recall: Numbers, precision: Numbers, base: float, operating: tuple[float, float] | None, ranked_by: str
) -> Chart:
    """Draw the curve (m,), the base rate, and the (recall, precision) at which the model ran.

    `ranked_by` names the ranking in plain text.
    """
    x = shares(0.0, 1.0, "recall: share of the anomalies that are flagged")
    y = shares(0.0, 1.0, "precision: share of the flagged that are anomalies")
    marks = across_at(base, y, "base") + line(across(recall, x), up(precision, y), "curve")
    legend = [("curve", "any threshold"), ("base", f"chance, {percent(base)}")]
    caption = f"Rows ranked by {ranked_by}, with any threshold; further up and to the right is better. "
    if operating is not None:
        marks += dots("operating", across(operating[:1], x), up(operating[1:], y), "operating-halo", "operating")
        legend.append(("operating", "threshold in use"))
        caption += (
            f"The threshold in use, which may move with each version and so lie off the curve, finds "
            f"{percent(operating[0])} of the anomalies; {percent(operating[1])} of the rows it flags are anomalies."
        )
    title = "Precision against recall"
    return Chart(chart("pr", title, caption, x, y, marks, shape="square"), caption.strip(), tuple(legend))


def distribution(score: Numbers, labels: Flags | None, cut: float | None) -> Chart:
    """Draw a histogram of the scores (n,): normal rows upwards, anomalous ones downwards, as shares of their class."""
    bins = np.linspace(0.0, 100.0, BINS + 1)
    x = SCORES._replace(name="score")
    two = labels is not None and bool(labels.any()) and not bool(labels.all())
    normal = _bin_shares(score[~labels] if two and labels is not None else score, bins)
    anomalous = _bin_shares(score[labels], bins) if two and labels is not None else np.zeros(BINS)
    top, bottom = float(normal.max()) * 1.05, float(anomalous.max()) * 1.05
    y = shares(-bottom, top, "share of the rows of its kind" if two else "share of the rows")
    edges, base = across(bins, x), int(up([0.0], y)[0])
    marks = columns(edges, up(normal, y), base, "columns normal")
    legend = [("normal", "normal, upwards")] if two else [("normal", "all rows")]
    if two:
        marks += columns(edges, up(-anomalous, y), base, "columns anomalous")
        legend.append(("anomalous", "anomalous, downwards"))
    if cut is not None:
        marks += upright_at(cut, x, "cut")
        legend.append(("cut", f"threshold, {number(round(cut, 1))}"))
    population = "the normal rows and of the anomalous rows, on one scale" if two else "all scored rows"
    caption = f"Shares of {population}, in steps of {number(100 / BINS)} points."
    title = "Distribution of the scores"
    return Chart(chart("scores", title, caption, x, y, marks, shape="square"), caption, tuple(legend))


def _bin_shares(score: Numbers, bins: Numbers) -> Numbers:
    return np.histogram(score, bins)[0] / max(len(score), 1)
