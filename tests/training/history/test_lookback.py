"""Rows of a file get the lookback columns that the worker computes for the same events from a topic."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import training.history.lookback as lookback
from training.history.lookback import featurize_rows
from worker.config.settings import Settings
from worker.core.events.columns import from_table, to_bytes
from worker.core.events.decode import Limits, decoder_for
from worker.core.state.partition_state import PartitionState
from worker.core.step import featurize

START_MS = 1_767_225_600_000
HOSTS = ["a", "b", None, "x" * 300 + "1", "x" * 300 + "2"]
"""The last two differ only beyond the length at which the worker cuts names."""


def settings(**sections: Any) -> Settings:
    plain = {
        "stream": "s",
        "event": {"entity": "host", "time": "ts"},
        "features": [
            {"field": "n", "kind": "numeric"},
            {"field": "n", "kind": "rate", "half_life": "60s"},
            {"field": "n", "kind": "delta", "counter": True, "per": "second"},
            {"field": "n", "kind": "unchanged"},
        ],
    }
    return Settings.model_validate(plain | sections)


def events(count: int) -> list[dict[str, Any]]:
    """Hosts take turns; every tenth event is late, and after the first half nothing happens for three hours."""
    plain = []
    for i in range(count):
        delay, pause = 30_000 * (i % 10 == 9), 3 * 3_600_000 * (2 * i > count)
        plain.append({"n": float(i % 7), "host": HOSTS[i % 5], "ts": START_MS + 1_000 * i - delay + pause})
    return plain


@pytest.mark.parametrize("sections", [{}, {"model": {"window": 3}}, {"state": {"entities": 3}}])
def test_rows_of_a_file_are_featurized_as_the_worker_featurizes_records(
    monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any]
) -> None:
    monkeypatch.setattr(lookback, "_CHUNK", 7)
    configured, plain = settings(**sections), events(100)
    table = {"n": [event["n"] for event in plain]}
    times = np.array([event["ts"] for event in plain], np.int64)
    actual = featurize_rows(configured, from_table(table, configured.spec), [event["host"] for event in plain], times)

    decoded = decoder_for("json", configured.spec, Limits()).decode([json.dumps(event).encode() for event in plain])
    state = PartitionState(configured.spec, "another topic", 0, 0, 0, configured.bounds)
    expected = featurize(state, decoded, np.arange(100), np.full(100, -1, np.int64), lambda _: None).columns
    assert to_bytes(actual, configured.spec) == to_bytes(expected, configured.spec)


def test_two_long_names_that_begin_alike_are_two_entities() -> None:
    configured = settings()
    columns = from_table({"n": [1.0, 2.0, 3.0, 4.0]}, configured.spec)
    actual = featurize_rows(
        configured, columns, [HOSTS[3], HOSTS[4], HOSTS[3], HOSTS[4]], START_MS + 1_000 * np.arange(4)
    )
    means = actual.values[configured.spec.names.index("n:mean:60s")]
    assert np.isnan(means[:2]).all()
    assert means[2:].tolist() == [1.0, 2.0]


def test_columns_without_a_feature_that_looks_back_are_returned_unchanged() -> None:
    configured = settings(features=[{"field": "n", "kind": "numeric"}])
    columns = from_table({"n": [1.0, 2.0]}, configured.spec)
    assert featurize_rows(configured, columns, ["a", "a"], np.zeros(2, np.int64)) is columns
