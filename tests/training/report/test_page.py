"""A report's page shows the figures that were measured, with or without labels and rows."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.training.report.pages import Reader, path, place, report
from training.report import render
from training.report.figures import Confusion
from training.report.ranking import CURVE, curve, ranks
from training.report.svg import SIDE


def test_confusion_counts() -> None:
    flagged = np.array([1, 1, 1, 0, 0, 0, 0], np.bool_)
    labels = np.array([1, 1, 0, 1, 0, 0, 0], np.bool_)
    c = Confusion.of(flagged, labels)
    assert (c.hit, c.missed, c.false, c.passed) == (2, 1, 1, 3)
    assert (c.recall, c.precision, c.false_alarm_rate) == pytest.approx((2 / 3, 2 / 3, 1 / 4))
    none = Confusion.of(np.zeros(3, np.bool_), np.zeros(3, np.bool_))
    assert (none.recall, none.precision, none.false_alarm_rate) == (None, None, 0.0)


def test_the_figures_are_in_the_page_with_their_meaning() -> None:
    text = Reader(render(report())).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "PR-AUC 0.40 Precision averaged over recall. Chance gives 0.02, the share of anomalies" in text
    assert "and this is 20 times that." in text
    assert "In 90 % of all pairs the anomaly ranks above the normal row." in text
    assert "Alert rate 2.0 % Share of the rows that were flagged; the target is 1.0 %." in text
    assert "After 100 rows to learn from." in text
    assert "bytes is the largest part of 2 of them" in text
    assert "roc auc 0.9" in text


def test_the_threshold_is_the_score_of_the_alert_rate_else_the_lowest_flagged() -> None:
    made = report()
    assert made.cut == pytest.approx(25.0)
    summary = made.summary | {"alert_rate_target": None}
    assert replace(made, summary=summary).cut == made.score[made.flagged].min()
    assert replace(made, summary=summary, flagged=np.zeros(3_000, np.bool_)).cut is None
    assert re.search(rf'class="line cut" d="M0 {SIDE - 2_500}L{SIDE} {SIDE - 2_500}"', render(made))


def test_a_switch_of_versions_is_marked_where_it_happens() -> None:
    page = render(report(versions=np.repeat([4, 5], [1_000, 2_000])))
    x = place(1_000, 0, 2_999)
    assert path(page, "line switch") == f"M{x} 0L{x} {SIDE}"
    assert re.findall(r'class="version"[^>]*>(v\d+)<', page) == ["v4", "v5"]


def test_the_curve_is_the_rankings_own() -> None:
    made = report(20_000, anomalies=900)
    assert made.labels is not None
    recall, precision = curve(made.labels, ranks(made.score, made.error))
    area = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    assert len(recall) <= CURVE and (np.diff(recall) > 0).all() and recall[-1] == 1.0
    assert area == pytest.approx(average_precision_score(made.labels, made.error), abs=0.01)


def test_equal_scores_are_ranked_by_error_and_wholly_equal_rows_by_nothing() -> None:
    score = np.array([1.0, 2.0, 2.0, 2.0])
    assert ranks(score, np.array([9.0, 1.0, 3.0, 3.0], np.float32)).tolist() == [0, 1, 2, 2]
    recall, precision = curve(np.array([True, False, False, False]), np.zeros(4))
    assert (recall.tolist(), precision.tolist()) == ([1.0], [0.25])


def test_the_curve_follows_what_the_summary_was_ranked_by() -> None:
    made = report()
    assert made.labels is not None
    summary = made.summary | {"ranked_by": "reconstruction_error"}
    perfect = replace(made, error=made.labels.astype(np.float32), summary=summary)
    heights = {y for _, y in re.findall(r"(\d+) (\d+)", path(render(perfect), "line curve"))}
    assert heights == {"0"}
    assert path(render(replace(perfect, summary=made.summary)), "line curve") != path(render(perfect), "line curve")


def test_without_labels_nothing_of_the_page_depends_on_them() -> None:
    page = render(report(labelled=False))
    for part in ("time-missed", "time-flagged", "pr-title", "confusion-title", "map-missed"):
        assert part not in page
    assert not re.search(
        "[Aa][Uu][Cc]|[Rr]ecall|[Pp]recision|F1|f1|anomal|missed|false alarm|labelled", Reader(page).text
    )
    for part in ("time-title", "rate-title", "scores-title", "map-title", "features-title", "The highest alerts"):
        assert part in page
    assert "Without labels" in page


@pytest.mark.parametrize("label", [False, True])
def test_labels_of_one_class_have_no_curve(label: bool) -> None:
    page = render(report(labels=np.full(3_000, label)))
    assert "pr-title" not in page and "confusion-title" in page and "scores-title" in page


def test_nothing_scored_is_said() -> None:
    empty = report(3_000).take(np.empty(0, np.int64))
    assert "No row was scored" in render(empty)
    assert "No row was scored" in render(replace(empty, labels=None, alerts=[], summary={}))


@pytest.mark.parametrize("n", [1, 2, 49])
def test_a_few_rows_make_a_page(n: int) -> None:
    assert "time-title" in render(report(n, anomalies=1))


def test_equal_reports_give_equal_pages_in_any_order_of_rows() -> None:
    made = report()
    assert render(made) == render(report())
    assert render(made.take(np.random.default_rng(0).permutation(3_000))) == render(made)
    assert render(report(seed=2)) != render(made)


@pytest.mark.parametrize("labelled", [True, False])
def test_each_picture_has_a_title_and_a_description(labelled: bool) -> None:
    page = render(report(labelled=labelled))
    pictures = re.findall(r'<svg [^>]*role="img"[^>]*>(.{40})', page)
    assert len(pictures) >= 8
    described = re.findall(r'<svg [^>]*role="img"[^>]*><title[^>]*>[^<]+</title><desc[^>]*>[^<]+</desc>', page)
    assert len(described) == len(pictures)
    plain_boxes = re.findall(r'<svg (?![^>]*role="img")[^>]*>', page)
    assert all('viewBox="0 0' in box for box in plain_boxes)


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="other lengths"):
        report(score=np.zeros(5))
