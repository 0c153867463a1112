"""The report's page: safe with any input, loads nothing, finite everywhere, and thinned without losing what matters."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from training.report import Report, TopAlert, render
from training.report.figures import Confusion
from training.report.ranking import CURVE, curve, ranks
from training.report.style import STYLE
from training.report.svg import SIDE, axis
from training.report.timeline import BUCKETS, LABELLED, bucket_bounds, bucket_maxima
from training.report.words import number, percent, plain, safe, short

TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "section", "article", "footer", "h1", "h2", "h3", "p",
    "dl", "div", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "strong", "small", "span", "wbr", "ul", "li",
    "i", "figure", "figcaption", "details", "summary", "svg", "desc", "defs", "use", "path", "line", "rect", "text",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "name", "content", "class", "role", "id", "aria-labelledby", "href", "d",
    "viewbox", "preserveaspectratio", "width", "height", "x", "y", "x1", "x2", "y1", "y2", "dy",
}  # fmt: skip
GEOMETRY = {"width", "height", "x", "y", "x1", "x2", "y1", "y2", "dy"}
ATTACKS = (
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onload='alert(1)", "</title></style><script>",
    "<!--", "]]>", "&lt;script&gt;", "\x00\x1b[31m\x9f", "\u202egnp.exe", "\ud800", "{}%s{0}", "javascript:alert(1)",
)  # fmt: skip


class Reader(HTMLParser):
    """Every tag with its attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).replace(STYLE, "").split())


def alert(row: int = 3, anomalous: bool | None = True, **changes: Any) -> TopAlert:
    features = [
        {"field": "bytes", "actual": 29.0, "expected": 0.5, "share": 0.6},
        {"field": "service", "actual": "finger", "expected": [{"value": "mail", "probability": 0.62}], "share": 0.3},
    ]
    made = TopAlert(row, "host-a", "2026-01-01T00:00:00.000Z", 61.5, 1.2e-5, 9.25, anomalous, features)
    return replace(made, **changes)


def report(n: int = 3_000, *, labelled: bool = True, anomalies: int = 60, seed: int = 1, **changes: Any) -> Report:
    g = np.random.default_rng(seed)
    labels = np.zeros(n, np.bool_)
    labels[g.choice(n, min(anomalies, n), replace=False)] = True
    error = (g.lognormal(0.0, 0.5, n) * np.where(labels, 2.5, 1.0)).astype(np.float32)
    score = np.minimum(100.0, 8.0 * error.astype(np.float64))
    summary = {
        "roc_auc": 0.9, "pr_auc": 0.4, "best_f1": 0.5, "recall_at_1pct_fpr": 0.3, "events": n + 100, "scored": n,
        "events_per_second": 1234.5, "alert_rate_target": 0.01, "alert_rate_observed": 0.02, "seed": 7,
        "kind": "denoising", "versions": 3,
    }  # fmt: skip
    if not labelled:
        summary |= dict.fromkeys(("roc_auc", "pr_auc", "best_f1", "recall_at_1pct_fpr"))
    made = Report(
        title="flows.parquet",
        summary=summary,
        rows=np.arange(100, 100 + n),
        score=score,
        error=error,
        flagged=score > 25.0,
        labels=labels if labelled else None,
        versions=np.arange(n) * 3 // max(n, 1) + 1,
        code=g.normal(size=(n, 2)).astype(np.float32),
        code_axes=("code 1", "code 2"),
        alerts=[alert(3, True if labelled else None), alert(7, False if labelled else None)],
    )
    return replace(made, **changes)


def path(page: str, pattern: str) -> str:
    """The `d` of the path whose id or class is `pattern`."""
    found = re.search(rf'<path (?:id|class)="{pattern}"(?: class="[^"]*")? d="([^"]*)"', page)
    assert found, pattern
    return found[1]


def points(d: str) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"M(-?\d+) (-?\d+)h0", d)]


def place(value: float, low: float, high: float) -> int:
    return round(SIDE * min(max((value - low) / (high - low), 0.0), 1.0))


# -- safe with any input


def test_hostile_text_is_shown_and_never_markup() -> None:
    alerts = [
        alert(i, entity=text, event_time=text, features=[
            {"field": text, "actual": text, "expected": text, "share": 0.5},
            {"field": text, "actual": [text, {text: text}], "expected": [{"value": text, "probability": 1}]},
        ])
        for i, text in enumerate(ATTACKS)
    ]  # fmt: skip
    for text in ATTACKS:
        hostile = report(title=text, alerts=alerts, code_axes=(text, text))
        hostile.summary.update({text: text, "kind": text, "ranked_by": text, "versions": [text, {text: text}]})
        page = render(hostile)
        read = Reader(page)
        assert {tag for tag, _ in read.tags} <= TAGS
        assert {name for _, attributes in read.tags for name in attributes} <= ATTRIBUTES
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", page)
        page.encode("utf-8")
    assert read.text.count("<script>alert(1)</script>") >= 5
    assert "' onload='alert(1)" in read.text


@given(st.text(), st.integers(1, 200))
def test_safe_text_is_short_visible_and_without_markup(text: str, most: int) -> None:
    assert len(plain(text, most)) <= most
    assert not re.search("[<>\"'\x00-\x1f\x7f-\x9f]", safe(text, most))
    assert unescape(safe(text, most)) == plain(text, most)
    if text.isprintable() and len(text) <= most:
        assert plain(text, most) == text


def test_long_values_are_cut_with_an_ellipsis() -> None:
    long = "x" * 1_000_000
    features = [{"field": long, "actual": long, "expected": [{"value": long, "probability": 1.0}], "share": 1.0}]
    page = render(report(title=long, alerts=[alert(features=features, entity=long)], code_axes=(long, long)))
    assert len(page) < 200_000
    assert "x" * 121 not in page and "xxx…" in page


def test_names_of_fields_are_cut_in_the_middle() -> None:
    names = [f"customer.profile.attributes.risk.weekly_average.{end}" for end in ("mean", "most")]
    features = [{"field": name, "actual": 1.0, "expected": 2.0, "share": 0.4} for name in names]
    text = Reader(render(report(alerts=[alert(features=features)]))).text
    assert "customer.p…weekly_average.mean" in text and "customer.p…weekly_average.most" in text


def test_values_of_any_kind_have_words() -> None:
    for value in (10**5_000, -(10**5_000), [[[[["deep"]]]]], {"a": {"b": {"c": 1}}}, object(), b"\xff"):
        assert 0 < len(plain(value)) <= 80


# -- loads nothing


def test_the_page_refers_to_nothing_outside_itself() -> None:
    page = render(report())
    read = Reader(page)
    assert not re.search(r"https?:|url\(|@import|//[a-z]", page)
    hrefs = [attributes["href"] for _, attributes in read.tags if "href" in attributes]
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert hrefs and {href.removeprefix("#") for href in hrefs} <= set(ids)
    assert len(ids) == len(set(ids))
    assert not {"script", "link", "img", "iframe", "object", "image"} & {tag for tag, _ in read.tags}
    assert not any("style" in attributes or "src" in attributes for _, attributes in read.tags)


def test_the_policy_allows_the_pages_style_alone_and_comes_before_it() -> None:
    page = render(report())
    policy = next(m["content"] for m in Reader(page).of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'", f"style-src 'sha256-{digest}'", "base-uri 'none'", "form-action 'none'"
    ]  # fmt: skip
    assert page.index("Content-Security-Policy") < page.index("<style>")


# -- finite


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_coordinate_is_anything_but_a_finite_number(bad: float) -> None:
    sound = report()
    score, error, code = sound.score.copy(), sound.error.copy(), sound.code.copy()
    score[::7], error[::5], code[::3, 0], code[1::3, 1] = bad, bad, bad, bad
    features = [{"field": "f", "actual": bad, "expected": [{"value": bad, "probability": bad}], "share": bad}]
    summary = dict.fromkeys(sound.summary, bad) | {"ranked_by": "reconstruction_error"}
    broken = replace(sound, score=score, error=error, code=code, summary=summary,
                     alerts=[alert(score=bad, p_value=bad, error=bad, features=features)])  # fmt: skip
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
    page = render(report(score=np.full(3_000, 5.0), error=np.ones(3_000, np.float32), flagged=np.zeros(3_000, np.bool_),
                         code=np.full((3_000, 2), 1e9, np.float32)))  # fmt: skip
    assert "map-title" in page and "nothing else was" in page


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_an_axis_has_few_rising_ticks_within_it(a: float, b: float) -> None:
    made = axis("", min(a, b), max(a, b))
    values = [value for value, _ in made.ticks]
    slack = 1e-6 * (made.high - made.low)
    assert made.low < made.high and len(values) <= 7
    assert values == sorted(values) and all(made.low - slack <= v <= made.high + slack for v in values)


# -- thinned without losing what matters


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
    assert tops == [
        SIDE - place(max(made.score[a:b]), 0, 100) for a, b in pairwise(bounds.tolist())
    ]  # fmt: skip


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


# -- says what was measured


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
    assert "Alert rate 2.0 % Share of the rows that were flagged; 1.0 % was asked for." in text
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


# -- without labels, without rows


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


# -- as a whole


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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (29.0, "29"),
        (0.5, "0.5"),
        (1234.6, "1,235"),
        (-3, "−3"),
        (1.23e-5, "1.2 × 10⁻⁵"),
        (5e13, "5.0 × 10¹³"),
        (0.0, "0"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0"), (1.0, "100"), (0.99996, "99.99"), (0.996, "99.6"), (0.5, "50"), (0.0996, "10"), (0.02, "2.0"),
     (0.0026, "0.26"), (0.0004, "0.04")],
)  # fmt: skip
def test_shares_are_never_rounded_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == f"{text}\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (2_100, "2,100"), (250_000, "250k"), (1_000_000, "1M")])
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text


def test_types_of_columns_do_not_matter_to_the_words() -> None:
    values: list[npt.NDArray[Any]] = [np.array([1.5]), np.array([True]), np.array([7])]
    assert [plain(value[0]) for value in values] == ["1.5", "true", "7"]
