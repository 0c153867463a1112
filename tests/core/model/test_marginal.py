"""The marginal error, against frequencies counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from training.learn.closed_form import fit_marginal
from worker.core.events.columns import Columns, objects
from worker.core.events.spec import FeatureSpec
from worker.core.model.encoder import Encoder
from worker.core.model.encoder_kernel import CELLS
from worker.core.model.marginal import ARCS, Marginal, cells, sizes


def errors(feature: dict[str, Any], train: npt.NDArray[Any], test: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Errors of test values under a table fitted on others."""
    spec = FeatureSpec.model_validate({"features": [{"field": "f", **feature}]})
    encoder, columns = Encoder.fit(spec, Columns((train,))), Columns((train,))
    marginal = Marginal(encoder.layout, fit_marginal(encoder.layout, encoder.transform(columns)))
    return marginal.feature_errors(encoder.transform(Columns((test,))))[:, 0]


def test_of_a_number_it_is_the_tail() -> None:
    """-log of twice the share at least as far out: 0 in the middle, log(n + 1) beyond all values of training."""
    found = errors({"kind": "numeric"}, np.arange(2_000.0), np.array([1_000.0, 1_900.0, 99.0, 1e9, np.nan]))
    # A cell is a fiftieth of a standard deviation, 12 of these values.
    assert found == pytest.approx([0.0, -np.log(0.1), -np.log(0.1), np.log(2_001), np.log(4_002)], abs=0.15)


def test_of_a_category_it_is_the_frequency() -> None:
    found = errors({"kind": "categorical"}, objects(["a"] * 900 + ["b"] * 100), objects(["a", "b", "never"]))
    assert found == pytest.approx([-np.log(0.9), -np.log(0.1), np.log(2 * 1_002.5)], abs=0.01)


def test_of_a_boolean_it_is_the_frequency() -> None:
    train = np.array([1.0] * 30 + [0.0] * 10 + [np.nan] * 8)
    found = errors({"kind": "boolean"}, train, np.array([1.0, 0.0, np.nan]))
    # Five levels, false, true, other, missing and unseen, begin with half a row each.
    assert found == pytest.approx(-np.log(np.array([30.5, 10.5, 8.5]) / 50.5), rel=1e-5)


def test_of_a_time_it_is_the_density_relative_to_the_densest_hour() -> None:
    hours = np.array([3] * 100 + [7] * 50)
    train = np.append(hours * 3_600.0 + 1_800.0, [np.nan] * 6)
    found = errors({"kind": "cyclic", "period": "day"}, train, np.array([3.5, 7.1, 12.5, np.nan]) * 3_600.0)
    wanted = [0.0, -np.log(50.5 / 100.5), -np.log(0.5 / 100.5), -np.log(6.5 / 157.0)]
    assert found == pytest.approx(wanted, rel=1e-5)


def test_times_of_a_day_fall_into_their_hours() -> None:
    spec = FeatureSpec.model_validate({"features": [{"field": "f", "kind": "cyclic", "period": "day"}]})
    columns = Columns((np.array([0.5, 6.5, 23.5, np.nan]) * 3_600.0,))
    encoder = Encoder.fit(spec, columns)
    assert cells(encoder.layout, encoder.transform(columns))[:, 0].tolist() == [0, 6, 23, ARCS]


def test_each_feature_has_its_own_part_of_the_table() -> None:
    kinds: list[dict[str, Any]] = [{"kind": "numeric"}, {"kind": "boolean"}, {"kind": "cyclic", "period": "day"}]
    spec = FeatureSpec.model_validate({"features": [{"field": f"f{i}", **kind} for i, kind in enumerate(kinds)]})
    columns = Columns((np.arange(9.0), np.ones(9), np.arange(9.0)))
    layout = Encoder.fit(spec, columns).layout
    assert sizes(layout) == [CELLS + 1, 5, ARCS + 1]
    table = torch.zeros(sum(sizes(layout)))
    table[CELLS + 1 + 1], table[-1] = 7.0, 9.0  # true; a missing time
    rows = Columns((np.zeros(2), np.array([1.0, 0.0]), np.array([np.nan, 0.0])))
    found = Marginal(layout, {"marginal.table": table}).feature_errors(Encoder.fit(spec, columns).transform(rows))
    assert found.tolist() == [[0.0, 7.0, 9.0], [0.0, 0.0, 0.0]]
    with pytest.raises(ValueError, match=r"not of shape \(1055,\)"):
        Marginal(layout, {"marginal.table": table[1:]})
