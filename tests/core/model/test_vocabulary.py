"""Vocabularies: values to levels, and levels to the values that an alert shows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from worker.core.events.columns import Numbered, objects
from worker.core.model.vocabulary import Vocabulary


def test_values_that_a_parent_knew_stay_known_behind_those_seen_now() -> None:
    parent = Vocabulary.fit(objects(["a"] * 5 + ["b"] * 3 + ["c"]), 2, "onehot")
    later = Vocabulary.fit(objects(["d"] * 4 + ["b"]), 3, "onehot", parent)
    assert later.top == ("d", "b", "a")
    assert later.rare == frozenset({"c"})
    assert later.lookup().codes(objects(["c", "never"])).tolist() == [3, 5]


def test_levels_top_other_missing_unseen() -> None:
    vocabulary = Vocabulary.fit(objects(["a"] * 5 + ["b"] * 3 + ["c", "200", True]), 2, "onehot")
    codes = vocabulary.lookup().codes(objects(["a", "b", "c", 200, True, None, "new", 1.5]))
    assert codes.tolist() == [0, 1, 2, 2, 2, 3, 4, 4]
    assert [vocabulary.name(level) for level in range(5)] == ["a", "b", "other", None, "unseen"]


def test_hashed_levels_are_stable_and_need_no_list() -> None:
    vocabulary = Vocabulary.fit(objects([str(i) for i in range(100_000)]), 16, "hash")
    codes = vocabulary.lookup().codes(objects(["7", 7, "\ud800", None]))
    assert codes[0] == codes[1]
    assert codes[3] == 16
    assert len(json.dumps(vocabulary.to_json())) < 200


@pytest.mark.parametrize("buckets", [0, 4])
def test_numbered_scalars_get_the_levels_of_their_values(buckets: int) -> None:
    """Numbers may be in any order, may gain values later, and begin anew with another scanner."""
    values = np.array([None, "a", "b", 1, 1.0, True, "true", "1", False, "zz"], object)
    lookup = Vocabulary(("a", "1", "true"), frozenset({"b"}), buckets).lookup()
    for order in (np.arange(10), np.arange(10)[::-1]):
        known = values[order].copy()
        later, known[6:] = known[6:].copy(), None
        first = np.array([0, 3, 3, 5, 1])
        assert lookup.codes(Numbered.of(known, first)).tolist() == lookup.codes(known[first]).tolist()
        known[6:] = later
        then = np.array([9, 8, 0, 7, 6, 6, 2, 4])
        assert lookup.codes(Numbered.of(known, then)).tolist() == lookup.codes(known[then]).tolist()


def test_a_part_of_a_numbered_column_is_an_ordinary_one() -> None:
    column = Numbered.of(np.array(["a", "b", None], object), np.array([1, 0, 1, 2]))
    lookup = Vocabulary(("b", "a"), frozenset(), 0).lookup()
    for part in (column[1:], column[np.array([3, 0])], np.concatenate((column, column[:2]))):
        assert lookup.codes(part).tolist() == [lookup.codes(np.array([value], object))[0] for value in part.tolist()]


def test_the_most_probable_levels_leave_out_the_unseen_and_the_improbable() -> None:
    """The levels are four values, other, missing and unseen. Without unseen, the first row has 0.8 to share."""
    vocabulary = Vocabulary(("a", "b", "c", "d"), frozenset(), 0)
    probabilities = np.array([[0.4, 0.0, 0.004, 0.0, 0.396, 0.0, 0.2], [0.1, 0.2, 0.3, 0.4, 0.0, 0.0, 0.0]])
    first, second = vocabulary.most_probable(probabilities)
    assert first == [{"value": "a", "probability": 0.5}, {"value": "other", "probability": 0.495}]
    assert [level["value"] for level in second] == ["d", "c", "b"]
    assert probabilities[0, 6] == 0.2, "the argument stays as it is"


def test_a_hashed_feature_has_no_values_to_show() -> None:
    assert Vocabulary((), None, 1).most_probable(np.array([[0.25, 0.75]])) == [
        [{"value": None, "probability": 0.75}, {"value": None, "probability": 0.25}]
    ]
