"""Alerts as the design fixes them: fields, ids, redaction, sizes, JSON Schema and CloudEvents envelope."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from worker.core.alerts.alert import Alert, Contribution, rfc3339
from worker.core.alerts.build import Origin, anomaly, closing
from worker.core.alerts.contributions import contributions
from worker.core.alerts.envelope import alert_schema, seal
from worker.core.alerts.redaction import plain, read_event, redact, trim
from worker.core.events.entity_names import entity_of
from worker.core.state.incidents import Evidence, Flagged, Incidents

T0 = 1_767_225_600_000  # 2026-01-01T00:00:00Z
ORIGIN = Origin("flows", "sha256:ab", "flows-in", "kW3x", 3)
EVIDENCE = Evidence(3.1e-06, 41.25, 9.75, 41_200, 12, "denoising", False, 4.5e-09)
EVENT = {"src": {"ip": "10.0.0.7", "port": 443}, "bytes": 9_100_000, "note": None}
BYTES = Contribution(field="bytes", actual=9_100_000.0, expected=3_120.5, share=0.71)


def opened(
    entity: str | None = "10.0.0.7",
    *,
    event: dict[str, Any] | None = EVENT,
    features: tuple[Contribution, ...] = (BYTES,),
    origin: Origin = ORIGIN,
    timestamp: int = T0 + 50,
) -> Alert:
    record = Flagged(entity, 182_733, timestamp, T0, T0, EVIDENCE)
    change = Incidents(60_000).flag(record)
    return anomaly(origin, change, detected_ms=T0 + 120, features=features, event=event)


def test_an_open_alert_is_the_json_of_the_design_in_its_order() -> None:
    document = json.loads(seal(opened(), 1_000_000).value)
    expected = {
        "alert_id": "kW3x.3.182733.anomaly.open",
        "incident_id": "kW3x.3.182733.anomaly.open",
        "kind": "anomaly",
        "status": "open",
        "stream": "flows",
        "entity": "10.0.0.7",
        "expires_at": "2026-01-01T00:15:00.000Z",
        "event_time": "2026-01-01T00:00:00.000Z",
        "detected_at": "2026-01-01T00:00:00.120Z",
        "score": pytest.approx(68.858, abs=1e-3),  # -12.5 log10 3.1e-6
        "severity": "major",
        "p_value": 3.1e-06,
        "p_value_best": 4.5e-09,
        "calibration_n": 41_200,
        "reconstruction_error": 41.25,
        "threshold": 9.75,
        "backfill": False,
        "features": [{"field": "bytes", "actual": 9_100_000.0, "expected": 3_120.5, "share": 0.71}],
        "model": {"version": 12, "kind": "denoising", "spec_hash": "sha256:ab"},
        "record": {
            "topic": "flows-in",
            "partition": 3,
            "offset": 182_733,
            "timestamp": "2026-01-01T00:00:00.050Z",
        },
        "event": EVENT,
        "event_omitted": False,
        "opened_at": "2026-01-01T00:00:00.000Z",
        "flagged": 1,
    }
    assert document == expected
    assert list(document) == list(expected)
    assert list(document["features"][0]) == ["field", "actual", "expected", "share"]


def test_an_incident_ties_open_update_and_closed_alerts_which_never_share_an_id() -> None:
    incidents = Incidents(0)
    alerts = []
    for offset, p in [(7, 1e-4), (8, 1e-7)]:
        record = Flagged("a", offset, -1, T0 + offset, T0 + offset, EVIDENCE._replace(p_value=p))
        change = incidents.flag(record)
        alerts.append(anomaly(ORIGIN, change, detected_ms=T0, features=(), event=None))
    incidents.flag(Flagged("b", 9, -1, T0 + 8, T0 + 8, EVIDENCE))
    alerts += [closing(ORIGIN, closed, detected_ms=T0 + 1) for closed in incidents.advance(T0 + 10_000_000)]
    assert [alert.alert_id for alert in alerts] == [
        "kW3x.3.7.anomaly.open",
        "kW3x.3.8.anomaly.update",
        "kW3x.3.7.anomaly.closed",
        "kW3x.3.9.anomaly.closed",
    ]
    assert [alert.incident_id for alert in alerts[:3]] == ["kW3x.3.7.anomaly.open"] * 3
    closed = alerts[2]
    assert (closed.status, closed.severity, closed.p_value, closed.flagged) == ("closed", "critical", 1e-7, 2)
    assert (closed.record.offset, closed.record.timestamp, closed.event) == (7, None, None)
    assert closed.event_time == closed.expires_at == "2026-01-01T00:15:00.008Z"
    assert closed.opened_at == "2026-01-01T00:00:00.007Z"


@pytest.mark.parametrize(
    ("p", "severity"),
    [(1.0, "warning"), (0.0101, "warning"), (0.0099, "minor"), (9e-5, "major"), (9e-7, "critical")],
)
def test_severities_follow_the_p_value(p: float, severity: str) -> None:
    record = Flagged("a", 0, T0, T0, T0, EVIDENCE._replace(p_value=p))
    alert = anomaly(ORIGIN, Incidents(0).flag(record), detected_ms=T0, features=(), event=None)
    assert alert.severity == severity
    assert not math.copysign(1, alert.score) < 0  # never "-0.0"


@pytest.mark.parametrize("bad", [{"error": float("nan")}, {"error": float("inf")}, {"p_value": 2.0}])
def test_a_number_that_is_none_is_refused(bad: dict[str, float]) -> None:
    record = Flagged("a", 0, T0, T0, T0, EVIDENCE._replace(**bad))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not the evidence"):
        anomaly(ORIGIN, Incidents(0).flag(record), detected_ms=T0, features=(), event=None)


def test_times_are_rfc3339_with_milliseconds_and_stay_in_its_range() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(T0 + 1) == "2026-01-01T00:00:00.001Z"
    assert rfc3339(10**18) == "9999-12-31T23:59:59.999Z"


# Contributions.


def test_contributions_are_the_largest_first_as_shares_of_the_whole() -> None:
    errors = np.array([[1.0, 0.0, 4.0, 1.0, 2.0], [0.0, 3.0, 0.0, 0.0, 1.0]], np.float32)
    level = {"value": "tcp", "probability": 0.9}
    values = {"a": (1.0, 1.5), "b": (2.0, 2.5), "c": ("udp", [level]), "d": (None, False), "e": (True, 0.5)}

    def described(feature: int) -> tuple[list[Any], list[Any]]:
        actual, expected = values["abcde"[feature]]
        return [actual, "of the second"], [expected, "of the second"]

    first, second = contributions("abcde", errors, described, top=3)
    assert [(c.field, c.share) for c in first] == [("c", 0.5), ("e", 0.25), ("a", 0.125)]
    assert json.loads(msgspec.json.encode(first[0])) == {
        "field": "c",
        "actual": "udp",
        "expected": [level],
        "share": 0.5,
    }
    assert first[1].actual is True
    assert [(c.field, c.share) for c in second] == [("b", 0.75), ("e", 0.25)]
    assert second[0].actual == second[0].expected == "of the second"


def one(names: Sequence[str], errors: list[float], actual: Any, expected: Any, top: int = 5) -> list[Contribution]:
    """The contributions of a single row whose features all have the same values."""
    [found] = contributions(names, np.array([errors], np.float32), lambda feature: ([actual], [expected]), top)
    return found


def test_shares_are_rounded_down_to_a_millionth_and_left_out_below() -> None:
    found = one("abc", [2.0, 4.0, 1e-6], 1.0, 1.0)
    assert [(c.field, c.share) for c in found] == [("b", 0.666666), ("a", 0.333333)]


def test_without_any_error_nothing_contributed() -> None:
    assert one("ab", [0.0, 0.0], 1.0, 2.0) == []


@given(st.lists(st.floats(0, 100, width=32), min_size=1, max_size=40))
def test_shares_never_sum_to_more_than_the_whole(errors: list[float]) -> None:
    found = one([str(i) for i in range(len(errors))], errors, 1.0, 1.0, top=40)
    assert math.fsum(c.share for c in found) <= 1
    assert [c.share for c in found] == sorted((c.share for c in found), reverse=True)


def test_values_that_json_has_no_number_for_are_null() -> None:
    [found] = one("a", [1.0], np.float32("inf"), float("nan"))
    assert (found.actual, found.expected) == (None, None)


# The event: redaction and size.


@pytest.mark.parametrize(
    ("policy", "shown"),
    [
        ("full", EVENT),
        ("none", None),
        (["bytes", "src.ip"], {"bytes": 9_100_000, "src": {"ip": "10.0.0.7"}}),
        (["src.ip", "src"], {"src": EVENT["src"]}),
        (["src", "src.ip"], {"src": EVENT["src"]}),
        (["note", "src.mac", "bytes.x", "nothing"], {"note": None}),
        ([], {}),
    ],
)
def test_redaction(policy: Any, shown: dict[str, Any] | None) -> None:
    before = json.dumps(EVENT)
    assert redact(EVENT, policy) == shown
    assert json.dumps(EVENT) == before
    assert redact(None, policy) is None


def test_a_redacted_copy_shares_nothing_with_the_event() -> None:
    event = {"a": {"b": [1]}}
    shown = redact(event, ["a"])
    assert shown is not None
    shown["a"]["b"].append(2)
    assert event == {"a": {"b": [1]}}


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"a": 1e999}', {"a": math.inf}),
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
        (b"[1]", None),
        (b"{", None),
        (b"\xff", None),
        (b'{"a":' * 100_000, None),
        (b'{"a": ' + b"9" * 5_000 + b"}", ...),
    ],
    ids=lambda raw: repr(raw)[:20],
)
def test_an_event_is_read_or_left_out_but_never_stops_its_alert(raw: bytes, event: Any) -> None:
    read = read_event(raw)
    assert event is ... or read == event
    value = json.loads(seal(opened(event=redact(read, "full")), 1_000_000).value, parse_constant=pytest.fail)
    assert value["event_omitted"] is False


def test_values_that_json_cannot_hold_are_replaced() -> None:
    odd = {
        "nan": math.nan,
        "big": 10**400,
        "lone": "a\ud800",
        "deep": [(np.float32(0.5), -math.inf)],
        "ü": "ü",
    }
    assert plain(odd) == {"nan": None, "big": None, "lone": "a?", "deep": [[0.5, None]], "ü": "ü"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=4), st.none() | st.text(), st.integers(-1, 2**42))
def test_any_alert_is_strict_json_by_its_schema_and_a_cloud_event(
    event: dict[str, Any], entity: str | None, timestamp: int
) -> None:
    alert = opened(entity_of(entity, None), event=redact(event, "full"), timestamp=timestamp)
    envelope = seal(alert, 1_000_000)
    document = json.loads(envelope.value, parse_constant=pytest.fail)
    jsonschema.Draft202012Validator(alert_schema()).validate(document)
    cloud = from_binary(KafkaMessage(dict(envelope.headers), None, envelope.value), JSONFormat())
    assert cloud.get_id() == document["alert_id"]


def test_an_alert_too_large_drops_its_event_first() -> None:
    alert = opened(event={"a": "x" * 5_000})
    assert json.loads(seal(alert, 8_000).value)["event"] == {"a": "x" * 5_000}
    document = json.loads(seal(alert, 4_000).value)
    assert (document["event"], document["event_omitted"]) == (None, True)
    assert document["features"] == [msgspec.to_builtins(BYTES)]


def test_then_long_texts_and_at_last_the_features_give_way() -> None:
    level = {"value": "é" * 9_000, "probability": 0.5}
    long = one("abcdef", [1.0] * 6, "x" * 9_000, [level])
    alert = opened(event=None, features=tuple(long))
    document = json.loads(seal(alert, 10_000).value)
    assert not document["event_omitted"]  # there was none
    assert document["features"][0]["actual"] == "x" * 256 + "… (9000 characters)"
    assert document["features"][0]["expected"][0]["value"] == "é" * 256 + "… (9000 characters)"
    assert json.loads(seal(alert, 3_000).value)["features"][4]["actual"] == "x" * 16 + "… (9000 characters)"
    smallest = seal(alert, 2_000)
    assert smallest.size <= 2_000
    assert json.loads(smallest.value)["features"] == []


def test_a_size_counts_key_value_and_headers() -> None:
    envelope = seal(opened(), 1_000_000)
    bare = len(envelope.key or b"") + len(envelope.value) + sum(len(n) + len(v) for n, v in envelope.headers)
    assert bare < envelope.size
    assert seal(opened(), envelope.size).value == envelope.value
    assert seal(opened(), envelope.size - 1).value != envelope.value


def test_trimming_leaves_short_texts_and_numbers() -> None:
    assert trim({"a": ["xy", 123456, None]}, 2) == {"a": ["xy", 123456, None]}


# Entity, key and envelope.


@pytest.mark.parametrize(
    ("named", "key", "entity"),
    [
        ("a", b"k", "a"),
        ("", b"k", ""),
        (None, b"k", "k"),
        (None, "ü".encode(), "ü"),
        (None, b"\x00\xff", "\x00\\xff"),
        (None, b"", ""),
        (None, None, None),
    ],
)
def test_the_entity_is_what_the_event_names_or_else_the_key(
    named: str | None, key: bytes | None, entity: str | None
) -> None:
    assert entity_of(named, key) == entity


def test_a_very_long_entity_is_cut_and_still_told_apart() -> None:
    assert entity_of("a" * 256, None) == "a" * 256
    one, other = entity_of("a" * 300 + "1", None), entity_of("a" * 300 + "2", None)
    assert one != other
    assert one is not None
    assert len(one) == 256 + 1 + 16
    assert seal(opened(entity_of("€" * 900_000, None)), 10_000).size < 10_000


def test_the_envelope_is_a_cloud_event_in_binary_mode() -> None:
    envelope = seal(opened("hôst 1\n%"), 1_000_000)
    assert envelope.key == "hôst 1\n%".encode()
    message = KafkaMessage(dict(envelope.headers), envelope.key, envelope.value)
    cloud = from_binary(message, JSONFormat())
    assert cloud.get_specversion() == "1.0"
    assert cloud.get_id() == "kW3x.3.182733.anomaly.open"
    assert cloud.get_source() == "/offbeat/flows"
    assert cloud.get_type() == "offbeat.anomaly.open"
    assert cloud.get_time() == datetime(2026, 1, 1, tzinfo=UTC)
    assert cloud.get_subject() == "hôst 1%0A%"
    assert cloud.get_datacontenttype() == "application/json"
    assert cloud.get_extension("severity") == "major"
    data = cloud.get_data()
    assert isinstance(data, dict)
    assert data["entity"] == "hôst 1\n%"


@pytest.mark.parametrize(("entity", "key"), [(None, None), ("", b"")])
def test_no_subject_without_an_entity(entity: str | None, key: bytes | None) -> None:
    envelope = seal(opened(entity), 1_000_000)
    assert envelope.key == key
    assert "ce_subject" not in dict(envelope.headers)
    assert json.loads(envelope.value)["entity"] == entity


def test_the_source_is_a_uri_reference_whatever_the_stream_is_called() -> None:
    envelope = seal(opened(origin=Origin("a b/ü", "s", "t", "i", 0)), 1_000_000)
    assert dict(envelope.headers)["ce_source"] == b"/offbeat/a%20b%2F%C3%BC"


def test_the_schema_in_deploy_is_the_one_that_is_printed() -> None:
    path = Path(__file__).parents[3] / "deploy" / "alert.schema.json"
    assert json.loads(path.read_text()) == alert_schema()


def test_the_schema_takes_fields_added_later_and_refuses_missing_ones() -> None:
    validator = jsonschema.Draft202012Validator(alert_schema())
    jsonschema.Draft202012Validator.check_schema(alert_schema())
    document = json.loads(seal(opened(), 1_000_000).value)
    validator.validate({**document, "something_new": 1})
    for name in document:
        partial = {key: value for key, value in document.items() if key != name}
        assert not validator.is_valid(partial), name
