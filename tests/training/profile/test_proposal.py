"""The proposed configuration: secrets stay out of it, it is loaded without the environment, and records are tried."""

from __future__ import annotations

import pytest

from training.profile.proposal import TRIED_RECORDS, build_configuration, parse_settings, try_decoding
from training.tables.table import Table
from worker.errors import ConfigError

FEATURES = [{"field": "x", "kind": "numeric"}]


def test_a_topic_is_written_only_if_it_differs_from_the_stream_and_secrets_never() -> None:
    properties = {"sasl.password": "hunter2", "client.id": "me"}
    proposed = build_configuration("s", ("h:1", "t", properties), {"entity": None, "time": "ts"}, FEATURES, 0.01)
    assert proposed["kafka"] == {"bootstrap_servers": "h:1", "events": ["t"], "properties": {"client.id": "me"}}
    assert proposed["event"] == {"time": "ts"}
    same = build_configuration("s", ("h:1", "s", {"sasl.password": "hunter2"}), {}, FEATURES, 0.01)
    assert same["kafka"] == {"bootstrap_servers": "h:1"}


def test_a_configuration_is_loaded_without_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFBEAT_THRESHOLD__ALERT_RATE", "0.2")
    settings = parse_settings("stream: s\nfeatures: [{field: x, kind: numeric}]\nthreshold: {alert_rate: 0.05}\n")
    assert settings.threshold.alert_rate == 0.05
    with pytest.raises(ConfigError, match="features"):
        parse_settings("stream: s\nfeatures: [{field: x, kind: nonsense}]\n")


def test_records_that_the_worker_would_reject_are_counted_with_a_reason() -> None:
    proposed = build_configuration("s", ("h:1", None, {}), {}, FEATURES, 0.01)
    table = Table({"x": [1.0]}, None, 1)
    assert try_decoding(proposed, table, [b'{"x": 1}', b'{"x": 2}']) == []
    [warning] = try_decoding(proposed, table, [b'{"x": 1}', b'{"x": "many"}', b"{"])
    assert (warning.code, warning.field) == ("dead-letters", None)
    assert warning.text.startswith("2 of 3 records would become dead letters, for example: x: text")


def test_the_first_rows_of_a_file_are_tried_as_events() -> None:
    proposed = build_configuration("s", ("h:1", None, {}), {}, [{"field": "a.x", "kind": "numeric"}], 0.01)
    good, bad = [1.0] * TRIED_RECORDS, ["many"]
    assert try_decoding(proposed, Table({"a.x": good + bad}, None, TRIED_RECORDS + 1), []) == []
    [warning] = try_decoding(proposed, Table({"a.x": good[1:] + bad}, None, TRIED_RECORDS), [])
    assert warning.text.startswith(f"1 of {TRIED_RECORDS} records would become dead letters")
