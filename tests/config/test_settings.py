"""The configuration: errors name the key's path and what is allowed, and no secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.adapters.redis_client import connect
from worker.config.load import load
from worker.config.refused_properties import REFUSED
from worker.config.settings import Settings
from worker.config.without_effect import keys_without_effect
from worker.core.events.durations import seconds
from worker.errors import ConfigError

BASE = "stream: flows\nfeatures:\n  - {field: a, kind: numeric}\n"
FULL = """
stream: flows
kafka:
  bootstrap_servers: localhost:9092
  events: [flows]
  alerts: flows.alerts
  dead_letters: flows.dead-letters
  labels: flows.labels
  scores: null
  group: offbeat-flows
  delivery: exactly_once
  start: earliest
  offset_lost: stop
  properties: {}
redis: {url: redis://localhost:6379/0}
event: {format: json, entity: src.ip, time: ts}
features:
  - {field: duration, kind: numeric, transform: log}
  - {field: protocol, kind: categorical}
  - {field: ts, kind: cyclic, period: day}
model: {kind: denoising, window: 1}
threshold: {alert_rate: 0.001}
alerts: {cooldown: 60s, event: full}
fine_tune: {every: 1h, events: 500, at_most_every: 10m, on_drift: true}
state: {snapshot_every: 5s, rebuild: 24h}
http: {port: 8080}
"""


def refusal(folder: Path, text: str, environ: dict[str, str] | None = None) -> str:
    path = folder / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    assert caught.value.exit_code == 2
    return str(caught.value)


def loaded(folder: Path, text: str, **environ: str) -> Settings:
    path = folder / "c.yaml"
    path.write_text(text)
    return load(path, environ)


def test_the_whole_example_is_what_the_defaults_are(tmp_path: Path) -> None:
    full, least = loaded(tmp_path, FULL), loaded(tmp_path, BASE)
    for section in ("kafka", "redis", "model", "threshold", "alerts", "fine_tune", "state", "http"):
        assert getattr(full, section) == getattr(least, section), section
    assert full.spec.entity == "src.ip"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kafka: {grup: x}", "kafka.grup: unknown key; allowed here: bootstrap_servers, events"),
        ("kafka: {grup: x}", "did you mean group?"),
        ("kaffka: {}", "kaffka: unknown key; allowed here: stream, kafka"),
        ("kafka: {delivery: twice}", "kafka.delivery: 'twice' is not allowed; allowed: exactly_once or"),
        ("event: {format: avro}", "event.format: 'avro' is not in this version; allowed: json"),
        ("event: {entity: 'a\"b'}", "event.entity: 'a\"b' is not allowed"),
        ("model: {window: 0}", "model.window: 0 is not allowed: input should be greater than or equal to 1"),
        ("threshold: {alert_rate: 2}", "threshold.alert_rate: 2 is not allowed: input should be less than or equal"),
        ("http: {port: web}", "http.port: 'web' is not allowed"),
        ("alerts: {cooldown: soon}", "alerts.cooldown: 'soon' is not allowed: a duration such as \"60s\""),
        ("kafka: {alerts: flows}", "kafka.alerts: 'flows' is among kafka.events"),
        ('kafka: {events: ["^flows.*"]}', "kafka.alerts: 'flows.alerts' is among kafka.events"),
        ("kafka: {alerts: x, dead_letters: x}", "each needs a topic of its own"),
        ('kafka: {events: ["^("]}', "is not a pattern"),
        ("kafka: {alerts: a b}", "kafka.alerts: 'a b' is not allowed"),
        (
            "kafka: {start: yesterday}",
            "kafka.start: 'yesterday' is not allowed; allowed: earliest, latest, or a time with",
        ),
        ("kafka: {start: 2026-01-01T00:00:00}", "kafka.start: 2026-01-01 00:00:00 is not allowed; allowed: earliest"),
        (
            "alerts: {event: some}",
            "alerts.event: 'some' is not allowed; allowed: full, none, or a list of dotted paths",
        ),
        ("alerts: {event: [1]}", "alerts.event: [1] is not allowed; allowed: full, none, or a list of dotted paths"),
        ("model: {kind: lineal}", "model.kind: 'lineal' is not allowed; allowed: denoising, linear, undercomplete"),
        ("redis: {url: localhost}", "redis.url: *** is not allowed: a URL that begins with redis://"),
        (
            "fine_tune: {every: 1m}",
            "fine_tune.at_most_every: 600s is longer than fine_tune.every; allowed: at most 60s",
        ),
        ("kafka: null", "kafka: None is not allowed"),
        ("stream: again", "not YAML: the key 'stream' is there twice"),
        ("x: [", "not YAML"),
        ("x: 2026-13-45", "not YAML: this cannot be read, line 4, column 4"),
        ("? [a]\n: b", "not YAML: this cannot be read"),
        ("x: " + "[" * 5_000, "not YAML: nested too deeply"),
    ],
)
def test_an_error_names_the_key_and_what_is_allowed(tmp_path: Path, text: str, message: str) -> None:
    found = refusal(tmp_path, BASE + text + "\n")
    assert message in found
    assert "\n" not in found, "one problem, one line"


def test_features_are_checked_one_by_one(tmp_path: Path) -> None:
    text = "stream: s\nfeatures:\n  - {field: a, kind: text}\n  - {field: b, kind: numeric, transfrom: log}\n"
    text += "  - {field: c, kind: rate}\n"
    message = refusal(tmp_path, text)
    kinds = "numeric, categorical, boolean, cyclic, rate, delta, unchanged"
    assert f"features.0: 'text' is not allowed; allowed: {kinds}" in message
    assert "features.2.half_life: required" in message
    assert "features.1.transfrom: unknown key" in message
    assert len(message.splitlines()) == 3
    assert "features.0.kind: required; allowed: numeric" in refusal(tmp_path, "stream: s\nfeatures: [{field: a}]\n")
    assert "features: []" in refusal(tmp_path, "stream: s\nfeatures: []\n")
    twice = refusal(tmp_path, BASE + "  - {field: a, kind: numeric}\n")
    assert "features.1: 'a' as numeric is there twice" in twice
    assert "features" in refusal(tmp_path, "stream: s\n")


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ("kind: delta, per: minute", "features.0.per: 'minute' is not allowed; allowed: event or second"),
        ("kind: delta, counter: maybe", "features.0.counter: 'maybe' is not allowed"),
        ("kind: delta, half_life: 60s", "features.0.half_life: unknown key; allowed here: field, kind, counter, per"),
        ("kind: unchanged, counter: true", "features.0.counter: unknown key; allowed here: field, kind, transform"),
        ("kind: delta}\n  - {field: x, kind: delta, per: second", "features.1: 'x' as delta is there twice"),
    ],
)
def test_features_that_compare_with_the_last_value_are_checked(tmp_path: Path, feature: str, message: str) -> None:
    assert message in refusal(tmp_path, f"stream: s\nfeatures:\n  - {{field: x, {feature}}}\n")


def test_the_longest_field_has_a_name_for_its_column(tmp_path: Path) -> None:
    text = "stream: s\nfeatures: [{field: %s, kind: delta}, {field: %s, kind: unchanged}]\n"
    path = "x" * 240
    assert loaded(tmp_path, text % (path, path)).spec.names == (f"{path}:delta", f"{path}:unchanged")
    assert "features.1.field" in refusal(tmp_path, text % ("x", "x" * 241))


def test_a_key_named_like_a_kind_of_feature_is_named_in_full(tmp_path: Path) -> None:
    text = "stream: s\nfeatures:\n  - {field: a, kind: numeric, numeric: 1}\n"
    assert "features.0.numeric: unknown key; allowed here: field, kind" in refusal(tmp_path, text)


def test_a_property_whose_name_is_not_text_is_reported(tmp_path: Path) -> None:
    message = refusal(tmp_path, BASE + "kafka: {properties: {1: x}}\n")
    assert message == "kafka.properties.1: 1 is not allowed: input should be a valid string"


def test_keys_without_effect_are_accepted_and_listed_when_the_user_set_them(tmp_path: Path) -> None:
    assert keys_without_effect(loaded(tmp_path, BASE)) == []
    listed = keys_without_effect(loaded(tmp_path, FULL))
    assert [key for key, _ in listed] == ["kafka.labels", "fine_tune.on_drift"]
    assert all("this version" in text for _, text in listed)
    assert keys_without_effect(loaded(tmp_path, BASE + "fine_tune: {on_drift: false}\n")) == []
    by_variable = loaded(tmp_path, BASE, OFFBEAT_KAFKA__LABELS="verdicts")
    assert (by_variable.kafka.labels, keys_without_effect(by_variable)[0].key) == ("verdicts", "kafka.labels")


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_properties_that_the_guarantee_rests_on_are_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    assert REFUSED[name] in refusal(tmp_path, BASE + f"kafka: {{properties: {{{name}: 1}}}}\n")


@pytest.mark.parametrize("name", ["heartbeat.interval.ms", "session.timeout.ms", "partition.assignment.strategy"])
def test_properties_that_the_broker_sets_under_the_consumer_protocol_are_refused(tmp_path: Path, name: str) -> None:
    properties = f"kafka: {{properties: {{group.protocol: consumer, {name}: 1}}}}\n"
    assert f"kafka.properties: {name} may not be set" in refusal(tmp_path, BASE + properties)


def test_group_protocols_are_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, BASE + "kafka: {properties: {group.protocol: share}}\n")
    assert "kafka.properties: group.protocol: 'share' is not allowed; allowed: classic, consumer" in message
    kept = "kafka: {properties: {group.protocol: classic, heartbeat.interval.ms: 1000}}\n"
    assert loaded(tmp_path, BASE + kept).kafka.properties["heartbeat.interval.ms"] == 1000


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environ = {
        "OFFBEAT_KAFKA__GROUP": "other",
        "OFFBEAT_KAFKA__EVENTS": '["a", "b"]',
        "OFFBEAT_ALERTS__COOLDOWN": "5m",
        "OFFBEAT_KAFKA__PROPERTIES": '{"sasl.username": "me"}',
        "OFFBEAT_INSTANCE": "pod-1",
        "UNRELATED": "x",
    }
    made = loaded(tmp_path, FULL, **environ)
    assert (made.kafka.group, made.kafka.events, made.alerts.cooldown) == ("other", ("a", "b"), 300.0)
    assert made.kafka.properties == {"sasl.username": "me"}
    assert made.kafka.alerts == "flows.alerts"
    assert "OFFBEAT_KAFFKA__GROUP: unknown variable" in refusal(tmp_path, BASE, {"OFFBEAT_KAFFKA__GROUP": "x"})
    assert "kafka.grup: unknown key" in refusal(tmp_path, BASE, {"OFFBEAT_KAFKA__GRUP": "x"})
    assert refusal(tmp_path, BASE, {"OFFBEAT_KAFKA__EVENTS": "a,b"}).startswith("OFFBEAT_KAFKA__EVENTS: not JSON")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text("abcdefghijkmnpqrstuvwxyzABCDEFG0123456789", min_size=12, max_size=30))
def test_secrets_are_never_shown(tmp_path: Path, secret: str) -> None:
    text = BASE + (
        f'kafka: {{properties: {{sasl.password: "{secret}", ssl.key.pem: "{secret}"}}}}\n'
        f'redis: {{url: "redis://user:{secret}@host/0"}}\n'
    )
    made = loaded(tmp_path, text)
    assert made.redis.url.get_secret_value().count(secret) == 1
    for shown in (repr(made), str(made), repr(made.kafka), str(made.public()), repr(made.redis)):
        assert secret not in shown
    assert secret not in refusal(tmp_path, text + "http: {port: x}\n")
    nested = BASE + f'kafka: {{properties: {{sasl.password: ["{secret}"]}}}}\n'
    assert secret not in refusal(tmp_path, nested)


@pytest.mark.parametrize(
    "text",
    [
        "redis: redis://:S@host",
        "redis: [redis://:S@host]",
        "redis: {url: [S]}",
        "redis: {url: S}",
        "redis: {url: redis://:S@host: 6379}",
        "redis: {url: *S}",
        "redis: {url: !S x}",
        "redis: {url: !!int S}",
        "kafka: [sasl.password=S]",
        "kafka: {properties: sasl.password=S}",
        "kafka: {properties: [S]}",
        "kafka: {properties: {sasl.password: *S}}",
        "kafka: {properties: {sasl.password: {a: S}}}",
        "kafka: {properties: {sasl.password: S, acks: 1}}",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in refusal(tmp_path, BASE + text.replace("S", "hunter2") + "\n")


@pytest.mark.parametrize("name", ["OFFBEAT_REDIS", "OFFBEAT_KAFKA", "OFFBEAT_KAFKA__PROPERTIES"])
def test_a_secret_in_a_variable_that_is_not_json_is_not_shown(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path, BASE, {name: '{"sasl.password": "hunter2"'})
    assert message.startswith(name)
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("rediss://u:hunter2@host:6379/0", "rediss://***@host:6379/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("unix://:hunter2@/run/redis.sock?db=1", "unix://***@/run/redis.sock"),
        ("redis://host/0?password=hunter2", "redis://host/0"),
        ("redis://host/0?password=a@hunter2", "***"),
        ("redis://u:a@hunter2@host/0", "***"),
        ("redis://:a/hunter2@host/0", "***"),
        ("redis://:hunter2", "***"),
    ],
)
def test_a_redis_url_is_shown_without_its_password(tmp_path: Path, url: str, shown: str) -> None:
    made = loaded(tmp_path, BASE, OFFBEAT_REDIS__URL=url)
    assert made.public()["redis"]["url"] == shown
    assert "hunter2" not in repr(made)


def test_a_redis_url_that_cannot_be_read_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError, match=r"redis\.url: not a URL that can be read") as caught:
        connect("redis://:a/hunter2@host/0")
    with pytest.raises(ConfigError) as other:
        connect("redis://:hunter2:x@host:port/0")
    assert "hunter2" not in f"{caught.value} {other.value}"


def test_durations() -> None:
    assert [seconds(value) for value in ("60s", "10m", "1.5h", "7d", "250ms", 5, "5")] == [
        60.0,
        600.0,
        5_400.0,
        604_800.0,
        0.25,
        5.0,
        5.0,
    ]
    for wrong in ("soon", "5 parsecs", True, [1]):
        with pytest.raises(ValueError, match="a duration such as"):
            seconds(wrong)
