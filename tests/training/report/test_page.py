"""A report's page shows the figures that were measured, with or without labels and rows."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.training.report.pages import Reader, alert, missed, path, place, report
from training.report import Surprise, render
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


def test_an_expected_category_is_in_words() -> None:
    """Contributions come as tuples; more levels than shown, or unlikely ones together, end in an ellipsis."""
    levels = [{"value": f"shop-{i}", "probability": p} for i, p in enumerate((0.16, 0.12, 0.1, 0.1))]
    sure = ({"value": "card", "probability": 0.97}, {"value": "cash", "probability": 0.03})
    features = [
        {"field": "shop", "actual": "shop-9", "expected": tuple(levels), "share": 0.5},
        {"field": "method", "actual": "coins", "expected": sure, "share": 0.3},
        {"field": "country", "actual": "XX", "expected": [{"value": None, "probability": 0.4}], "share": 0.2},
    ]
    page = render(report(alerts=[alert(features=features)]))
    text = Reader(page).text.replace("\N{NO-BREAK SPACE}", " ").replace(" ,", ",").replace(" )", ")")
    assert "shop-0 (16 %), shop-1 (12 %), shop-2 (10 %), …" in text
    assert "coins card (97 %), cash (3.0 %) 30 %" in text
    assert "missing (40 %), …" in text
    assert "probability" not in text


def test_entity_and_time_are_on_the_cards() -> None:
    text = Reader(render(report(alerts=[alert(entity="shop-05")]))).text
    assert "entity shop-05 · 2026-01-01T00:00:00.000Z · p" in text
    assert "entity" not in Reader(render(report(alerts=[alert(entity=None)]))).text


def test_the_missed_anomalies_have_reasons() -> None:
    surprises = [Surprise("currency", 0.998, 0.96), Surprise("spread", 0.97, 0.9)]
    surprises += [Surprise("amount", 0.62, 0.4), Surprise("items", 0.2, 0.1)]
    plain = [Surprise("amount", 0.99, 0.9), Surprise("items", 0.2, 0.2)]
    made = report(missed=[missed(surprises=surprises), missed(9, kind=None, surprises=plain)])
    text = Reader(render(made)).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Row 4 mismatch entity shop-05" in text and "place 31 of 3,000" in text
    assert "Stood out: currency (more than in 96 % of the rows). Looked normal: amount, items. An" in text
    assert "An alert rate of about 1.8 % would have flagged the row." in text
    assert "stood out: amount, which did so most, stands out as much or more in 10 % of the rows. Looked" in text
    assert "The missed anomalies" not in Reader(render(report())).text
    many = report(missed=[missed(i) for i in range(150)], flagged=np.zeros(3_000, np.bool_), anomalies=200)
    text = Reader(render(many)).text.replace("\N{NO-BREAK SPACE}", " ")
    assert text.count("place 31 of") == 100 and "96 more missed anomalies of 196" in text


def test_other_alert_rates_are_a_table_with_the_configured_one_marked() -> None:
    rates = [
        {"alert_rate": rate, "configured": rate == 0.01, "flagged": flagged, "flagged_share": flagged / 3_000}
        | {"alerts": flagged // 2, "alerts_per_day": daily, "recall": 0.5, "precision": 0.25}
        for rate, flagged, daily in ((0.001, 4, 1.25), (0.01, 38, 1_234.5))
    ]
    made = report()
    page = render(replace(made, summary=made.summary | {"alert_rates": rates, "alerts": 19, "entity": "shop"}))
    text = Reader(page).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "0.1 % 4 0.13 % 2 1.2 50 % 25 % 1.0 % 38 1.3 % 19 1,234 50 % 25 %" in text
    assert "<strong>38</strong>" in page and "<strong>4</strong>" not in page
    assert "Noise control left 19 alerts." in text
    assert "cooldown." in text and "one second a row" not in text and "share one cooldown" not in text
    untimed = [rate | {"alerts_per_day": None} for rate in rates]
    text = Reader(render(replace(made, summary=made.summary | {"alert_rates": untimed}))).text
    assert "one second a row is assumed" in text and "share one cooldown" in text and "alerts a day" not in text
    bare = report(labelled=False)
    text = Reader(render(replace(bare, summary=bare.summary | {"alert_rates": rates}))).text
    assert "alerts a day" in text and "anomal" not in text


def test_kinds_are_shown_the_worst_first() -> None:
    kinds = [("easy", 4, 4), ("hard <i>", 9, 0), ("middling", 4, 2)]
    listed = [{"kind": k, "anomalies": n, "flagged": f, "recall": f / n} for k, n, f in kinds]
    made = report()
    text = Reader(render(replace(made, summary=made.summary | {"kinds": listed}))).text
    assert "hard <i> 0 of 9 middling 2 of 4 easy 4 of 4" in text
    assert "{" not in text and "By kind" not in Reader(render(made)).text


def test_event_times_are_the_axis_if_there_are_any() -> None:
    n, start = 3_000, 1_760_000_000_000
    times = start + np.arange(n) ** 2
    made = report(n, times=times, versions=np.repeat([4, 5], [1_000, 2_000]))
    page = render(made)
    assert "event time (UTC), 9 Oct 2025" in page and "row number" not in page
    x = place(times[1_000], times[0], times[-1])
    assert path(page, "line switch") == f"M{x} 0L{x} {SIDE}"
    assert "row number" in render(report(n))


def test_late_rows_are_drawn_at_their_time() -> None:
    """Rows that are late do not make another version take over, and the outline is ordered by time."""
    n, start = 3_000, 1_760_000_000_000
    times = start + np.arange(n) * 1_000
    times[2_000:2_010] -= 1_500_000
    page = render(report(n, times=times, versions=np.repeat([4, 5], [1_000, 2_000])))
    assert page.count('class="line switch"') == 1
    edges = [int(right) for right in re.findall(r"V\d+H(\d+)", path(page, "area"))]
    assert edges == sorted(edges)


def test_times_far_off_are_said() -> None:
    times = 1_760_000_000_000 + np.arange(3_000) * 1_000
    times[7] = 0
    text = Reader(render(report(3_000, times=times))).text
    assert "event time (UTC), 9 Oct 2025 to" not in text and "Rows with times far off, drawn at the edge:" in text
