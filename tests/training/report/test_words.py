"""Values and numbers as text for the report."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.report.words import number, percent, plain, safe, short


@given(st.text(), st.integers(1, 200))
def test_safe_text_is_short_visible_and_without_markup(text: str, most: int) -> None:
    assert len(plain(text, most)) <= most
    assert not re.search("[<>\"'\x00-\x1f\x7f-\x9f]", safe(text, most))
    assert unescape(safe(text, most)) == plain(text, most)
    if text.isprintable() and len(text) <= most:
        assert plain(text, most) == text


def test_values_of_any_kind_have_words() -> None:
    for value in (10**5_000, -(10**5_000), [[[[["deep"]]]]], {"a": {"b": {"c": 1}}}, object(), b"\xff"):
        assert 0 < len(plain(value)) <= 80


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
    [
        (0.0, "0"),
        (1.0, "100"),
        (0.99996, "99.99"),
        (0.996, "99.6"),
        (0.5, "50"),
        (0.0996, "10"),
        (0.02, "2.0"),
        (0.0026, "0.26"),
        (0.0004, "0.04"),
    ],
)
def test_shares_are_never_rounded_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == f"{text}\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (2_100, "2,100"), (250_000, "250k"), (1_000_000, "1M")])
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text


def test_types_of_columns_do_not_matter_to_the_words() -> None:
    values: list[npt.NDArray[Any]] = [np.array([1.5]), np.array([True]), np.array([7])]
    assert [plain(value[0]) for value in values] == ["1.5", "true", "7"]
