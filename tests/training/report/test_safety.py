"""A report's page is safe with any input and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re

from tests.training.report.pages import Reader, alert, missed, report
from training.report import Surprise, render

TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "section", "article", "footer", "h1", "h2", "h3", "p",
    "dl", "div", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "strong", "small", "span", "wbr", "ul", "li",
    "i", "figure", "figcaption", "details", "summary", "svg", "desc", "defs", "use", "path", "line", "rect", "text",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "name", "content", "class", "role", "id", "aria-labelledby", "href", "d",
    "viewbox", "preserveaspectratio", "width", "height", "x", "y", "x1", "x2", "y1", "y2", "dy",
}  # fmt: skip
ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "</title></style><script>",
    "<!--",
    "]]>",
    "&lt;script&gt;",
    "\x00\x1b[31m\x9f",
    "\u202egnp.exe",
    "\ud800",
    "{}%s{0}",
    "javascript:alert(1)",
)


def test_hostile_text_is_shown_and_never_markup() -> None:
    alerts = [
        alert(
            i,
            entity=text,
            event_time=text,
            features=[
                {"field": text, "actual": text, "expected": text, "share": 0.5},
                {"field": text, "actual": [text, {text: text}], "expected": [{"value": text, "probability": 1}]},
            ],
        )
        for i, text in enumerate(ATTACKS)
    ]
    for text in ATTACKS:
        surprises = [Surprise(text, 0.99, 0.99), Surprise(text, 0.1, 0.1)]
        odd = missed(entity=text, event_time=text, kind=text, surprises=surprises)
        hostile = report(title=text, alerts=alerts, code_axes=(text, text), missed=[odd])
        hostile.summary["kinds"] = [{"kind": text, "anomalies": text, "flagged": text, "recall": text}, text]
        hostile.summary["alert_rates"] = [dict.fromkeys(("alert_rate", "flagged", "alerts", "recall"), text), text]
        hostile.summary.update({text: text, "kind": text, "ranked_by": text, "versions": [text, {text: text}]})
        page = render(hostile)
        read = Reader(page)
        assert {tag for tag, _ in read.tags} <= TAGS
        assert {name for _, attributes in read.tags for name in attributes} <= ATTRIBUTES
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", page)
        page.encode("utf-8")
    assert read.text.count("<script>alert(1)</script>") >= 5
    assert "' onload='alert(1)" in read.text


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
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert page.index("Content-Security-Policy") < page.index("<style>")
