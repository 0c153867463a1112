"""The missed anomalies: their places among all rows, and the features that stood out or looked normal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.training.evaluate.scored import evaluation
from training.evaluate.evaluation import Evaluation
from training.evaluate.explained import explain_places, surprises
from training.evaluate.missed import missed_anomalies


def nothing_flagged() -> Evaluation:
    """The same evaluation, as if no row had been flagged."""
    evaluated = evaluation()
    outcome = replace(evaluated.outcome, flagged=np.zeros_like(evaluated.outcome.flagged))
    return replace(evaluated, outcome=outcome)


def test_each_missed_anomaly_has_its_place_among_all_rows() -> None:
    evaluated = nothing_flagged()
    outcome, table = evaluated.outcome, evaluated.table
    assert table.labels is not None and table.kinds is not None
    found = missed_anomalies(evaluated)
    assert {one.row for one in found} == set(np.flatnonzero(table.labels).tolist())
    assert [one.p_value for one in found] == sorted(one.p_value for one in found)
    for one in found:
        error = outcome.error[one.row - outcome.first]
        assert one.place == 1 + int((outcome.error > error).sum())
        assert one.rows == len(outcome.error)
        assert one.p_value == outcome.p_value[one.row - outcome.first]
        assert one.kind == table.kinds[one.row]
        assert one.entity == table.columns["shop"][one.row]
        assert one.event_time is not None and one.event_time.startswith("2025-10-09T")
        assert sorted(surprise.field for surprise in one.surprises) == ["a", "b", "c"]
        assert all(0.0 <= min(s.above, s.apart) <= max(s.above, s.apart) < 1.0 for s in one.surprises)


def test_the_feature_that_is_off_stands_out_and_the_others_do_not() -> None:
    """In a row far out, a is off, and so is b, which depends on it; c is not. It is the first of its kind, since later
    versions may have learnt it.
    """
    found = sorted(missed_anomalies(nothing_flagged()), key=lambda one: one.row)
    first = next(one for one in found if one.kind == "far out")
    by_field = {surprise.field: surprise.stands_out for surprise in first.surprises}
    assert max(by_field["a"], by_field["b"]) > 0.95 > by_field["c"]
    assert first.surprises[0].field in ("a", "b") and first.features[0]["field"] in ("a", "b")
    assert [surprise.stands_out for surprise in first.surprises] == sorted(by_field.values(), reverse=True)


def test_a_surprise_counts_the_rows_that_are_less_so() -> None:
    """All scored rows are compared, since they are fewer than a thousand."""
    evaluated = nothing_flagged()
    outcome = evaluated.outcome
    one = missed_anomalies(evaluated)[0]
    detector, _ = outcome.served[int(outcome.version[one.row - outcome.first])]
    contributions = surprises(detector, evaluated.columns.take(slice(outcome.first, None)))
    parts = contributions / contributions.sum(1, keepdims=True)
    for surprise in one.surprises:
        feature = ("a", "b", "c").index(surprise.field)
        for found, of in ((surprise.above, contributions), (surprise.apart, parts)):
            less = int((of[:, feature] < of[one.row - outcome.first, feature]).sum())
            assert abs(found - less / (len(of) + 1)) < 1e-9


def test_what_was_flagged_is_not_missed_and_without_labels_nothing_is() -> None:
    evaluated = evaluation()
    flagged = set((evaluated.outcome.first + np.flatnonzero(evaluated.outcome.flagged)).tolist())
    found = missed_anomalies(evaluated)
    assert len(found) == evaluated.summary["missed"] and not flagged & {one.row for one in found}
    assert missed_anomalies(replace(evaluated, table=replace(evaluated.table, labels=None, kinds=None))) == []


def test_explained_afterwards_in_any_order_gives_the_same() -> None:
    evaluated = evaluation()
    places = np.flatnonzero(evaluated.outcome.flagged)
    together = explain_places(evaluated.outcome, evaluated.columns, places[::-1])
    for place in places[:5]:
        assert explain_places(evaluated.outcome, evaluated.columns, np.array([place])) == {int(place): together[place]}
