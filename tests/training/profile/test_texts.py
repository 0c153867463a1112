"""Numbers as text, blanks and case: what the worker would read differently from what the producer meant."""

from __future__ import annotations

import pytest

from training.profile.evidence.texts import find_case_variants, find_unreadable_numbers, is_blank, is_number_text


@pytest.mark.parametrize("text", ["12", "12.5", "-3", "+4e-3", "1,234", "1,234,567.8", "1.234,5", "3,5", ".5", "45 %"])
def test_numbers_written_as_text(text: str) -> None:
    assert is_number_text(text)


@pytest.mark.parametrize("text", ["", "-", "12ab", "10.0.0.1", "2026-01-01", "1,2,3", "0x1f", "h7", "1:30"])
def test_texts_that_are_no_numbers(text: str) -> None:
    assert not is_number_text(text)


def test_blanks() -> None:
    assert all(map(is_blank, ["", " ", "-", "NaN", "N/A", "null", "None"]))
    assert not any(map(is_blank, ["0", "no", "x", None, 0]))


def test_many_numbers_as_text_are_left_out_with_examples_and_few_are_categories() -> None:
    many = [f"{row * 7 % 1_000:,}" for row in range(1_000)]
    reason = find_unreadable_numbers(many, many)
    assert reason.startswith("numbers written as text, such as '0', '7', '14', '21' …: let the producer")
    codes = ["200", "404", "500"] * 300
    assert find_unreadable_numbers(codes, codes) == ""
    ids = [f"id{row}" for row in range(1_000)]
    assert find_unreadable_numbers(ids, ids) == ""
    assert find_unreadable_numbers([*many, "x"], many) == ""
    numbers = [row / 7 for row in range(1_000)]
    assert find_unreadable_numbers(numbers, numbers) == ""


def test_blanks_among_numbers_are_left_out_with_their_share() -> None:
    mixed = [*(row / 7 for row in range(900)), *["", "-"] * 50]
    reason = find_unreadable_numbers(mixed, mixed)
    assert reason.startswith("10.0% of its numbers are texts, '', '-': let the producer write null")


def test_levels_that_differ_in_case() -> None:
    assert find_case_variants(["TCP", "tcp", "UDP", None, "icmp"]) == ["TCP", "tcp"]
    assert find_case_variants(["TCP", "UDP"]) == []
