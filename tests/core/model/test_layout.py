"""The layout of a row, against positions counted by hand."""

from __future__ import annotations

import pytest

from worker.core.events.spec import FeatureSpec
from worker.core.model.error_kernel import CODE, OUT, OWN, START, UNSEEN, WIDTH
from worker.core.model.layout import Layout, layout_of
from worker.core.model.scaling import Scaling
from worker.core.model.vocabulary import Vocabulary

SCALING = Scaling("none", 0.0, 1.0, 0.0, 1.0, constant=False)
SPEC = FeatureSpec.model_validate(
    {
        "features": [
            {"field": "t", "kind": "cyclic", "period": "day"},
            {"field": "c", "kind": "categorical"},
            {"field": "n", "kind": "numeric"},
            {"field": "h", "kind": "categorical", "encoding": "hash"},
            {"field": "m", "kind": "numeric"},
        ],
        "entity": "e",
        "window": 3,
    }
)


@pytest.fixture
def layout() -> Layout:
    """By hand: sine, cosine, mask | a, b, other, missing, unseen | n | 2 buckets, missing | m, mask: 14 columns."""
    words, buckets = Vocabulary(("a", "b"), frozenset(), 0), Vocabulary((), None, 2)
    return layout_of(SPEC, (None, words, SCALING, buckets, SCALING), (True, True, False, True, True))


def test_columns_of_the_input(layout: Layout) -> None:
    assert [block.start for block in layout.blocks] == [0, 3, 8, 9, 12]
    assert [block.width for block in layout.blocks] == [2, 5, 1, 3, 1]
    assert [block.has_mask for block in layout.blocks] == [True, False, False, False, True]
    assert (layout.width, layout.inputs) == (14, 42)
    assert layout.numeric_features.tolist() == [2, 4]
    assert layout.numeric_starts.tolist() == [8, 12]


def test_own_columns_leave_out_the_masks(layout: Layout) -> None:
    assert layout.own_columns.tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert layout.outputs == 12
    assert [layout.own_columns[block.own_slice][0] for block in layout.blocks] == [0, 3, 8, 9, 12]


def test_the_output_has_all_values_before_all_logits(layout: Layout) -> None:
    assert layout.value_columns.tolist() == [0, 1, 8, 12]
    assert layout.value_features.tolist() == [0, 0, 2, 4]
    assert [block.feature for block in layout.categorical] == [1, 3]
    assert [layout.first_logit(block) for block in layout.categorical] == [4, 9]


def test_columns_of_earlier_records_lie_one_record_further(layout: Layout) -> None:
    assert layout.lagged(layout.numeric_starts, 3).tolist() == [8, 12, 22, 26, 36, 40]
    assert layout.lagged(layout.numeric_starts, 1).tolist() == [8, 12]


def test_the_table_of_the_compiled_functions(layout: Layout) -> None:
    table = layout.table
    assert table[:, START].tolist() == [0, 3, 8, 9, 12]
    assert table[:, WIDTH].tolist() == [2, 5, 1, 3, 1]
    assert table[:, CODE].tolist() == [-1, 0, -1, 1, -1]
    assert table[:, OUT].tolist() == [0, 0, 2, 5, 3]
    assert table[:, OWN].tolist() == [0, 2, 7, 8, 11]
    assert table[:, UNSEEN].tolist() == [-1, 4, -1, -1, -1]


def test_a_missing_value_that_is_rejected_needs_no_mask() -> None:
    features = [{"field": "n", "kind": "numeric", "missing": "reject"}]
    layout = layout_of(FeatureSpec.model_validate({"features": features}), (SCALING,), (True,))
    assert layout.width == 1
