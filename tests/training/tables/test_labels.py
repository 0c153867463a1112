"""Labels: yes or no, kinds of anomaly, and texts that say neither."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.tables.labels import FALSE, MOST_KINDS, TRUE, parse_labels
from worker.errors import ConfigError


@pytest.mark.parametrize("normal", ["", None, "normal", "Normal ", "0", 0, False, "no"])
def test_texts_beside_normal_rows_are_kinds(normal: Any) -> None:
    labels, kinds = parse_labels(["unseen method", normal, " latency ", "unseen method"], "y")
    assert labels.tolist() == [True, False, True, True]
    assert kinds == ["unseen method", None, "latency", "unseen method"]


@given(st.lists(st.sampled_from([*TRUE, *FALSE, None, 0, 1, 2.5, True, False]), min_size=1))
def test_yes_and_no_in_any_words_name_no_kinds(values: list[Any]) -> None:
    labels, kinds = parse_labels(values, "y")
    assert kinds is None
    assert labels.tolist() == [value in TRUE if isinstance(value, str) else bool(value) for value in values]


def test_beside_a_yes_any_other_text_is_a_no() -> None:
    labels, kinds = parse_labels(["attack", "nominal", "Attack"], "y")
    assert (labels.tolist(), kinds) == ([True, False, True], None)


def test_texts_that_do_not_say_which_rows_are_normal_are_refused() -> None:
    with pytest.raises(ConfigError, match="'y' holds 'bad', 'good', and nothing says which rows are normal; allowed"):
        parse_labels(["good", "bad"], "y")


def test_too_many_kinds_are_refused() -> None:
    kinds = [f"order {i}" for i in range(MOST_KINDS + 1)]
    with pytest.raises(ConfigError, match=f"201 kinds, such as 'order 0', .* allowed: at most {MOST_KINDS}"):
        parse_labels([None, *kinds], "y")
    assert parse_labels([None, *kinds[1:]], "y")[0].sum() == MOST_KINDS
