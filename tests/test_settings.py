"""The configuration: what is wrong is named with its path and what is allowed, and no secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.configuration import load
from worker.durations import seconds
from worker.errors import ConfigError
from worker.kafka_rules import REFUSED

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
fine_tune: {every: 1h, events: 20000, at_most_every: 10m, on_drift: true}
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


def loaded(folder: Path, text: str, **environ: str):  # type: ignore[no-untyped-def]
    path = folder / "c.yaml"
    path.write_text(text)
    return load(path, environ)


def test_the_whole_example_is_what_the_defaults_are(tmp_path: Path) -> None:
    full, least = loaded(tmp_path, FULL), loaded(tmp_path, BASE)
    for section in ("kafka", "redis", "model", "threshold", "alerts", "fine_tune", "state", "http"):
        assert getattr(full, section) == getattr(least, section), section
    assert full.spec.entity == "src.ip"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kafka: {grup: x}", "kafka.grup: unknown key; allowed here: bootstrap_servers, events"),
        ("kafka: {grup: x}", "did you mean group?"),
        ("kaffka: {}", "kaffka: unknown key; allowed here: stream, kafka"),
        ("kafka: {delivery: twice}", "kafka.delivery: 'twice' is not in this version; allowed: exactly_once or"),
        ("event: {format: avro}", "event.format: 'avro' is not in this version; allowed: json"),
        ("model: {window: 4}", "model.window: 4 is not in this version; allowed: 1"),
        ("threshold: {alert_rate: 2}", "threshold.alert_rate: 2 is not allowed: input should be less than or equal"),
        ("http: {port: web}", "http.port: 'web' is not allowed"),
        ("alerts: {cooldown: soon}", 'alerts.cooldown: a duration such as "60s"'),
        ("kafka: {alerts: flows}", "kafka.alerts: 'flows' is among kafka.events"),
        ('kafka: {events: ["^flows.*"]}', "kafka.alerts: 'flows.alerts' is among kafka.events"),
        ("kafka: {alerts: x, dead_letters: x}", "each needs a topic of its own"),
        ('kafka: {events: ["^("]}', "is not a pattern"),
        ("kafka: {alerts: a b}", "kafka.alerts: 'a b' is not allowed"),
        ("kafka: {start: yesterday}", "kafka.start"),
        ("fine_tune: {every: 1m}", "fine_tune.at_most_every: longer than fine_tune.every"),
        ("kafka: null", "kafka: None is not allowed"),
        ("stream: again", "not YAML: the key 'stream' is there twice"),
        ("x: [", "not YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, BASE + text + "\n")


def test_features_are_checked_one_by_one(tmp_path: Path) -> None:
    text = "stream: s\nfeatures:\n  - {field: a, kind: rate}\n  - {field: b, kind: numeric, transfrom: log}\n"
    said = refusal(tmp_path, text)
    assert "features.0: 'rate' is not in this version; allowed: numeric, categorical, boolean, cyclic" in said
    assert "features.1.transfrom: unknown key" in said
    twice = refusal(tmp_path, BASE + "  - {field: a, kind: numeric}\n")
    assert "features.1: 'a' as numeric is there twice" in twice
    assert "features" in refusal(tmp_path, "stream: s\n")


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_the_guarantee_rests_on_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    assert REFUSED[name] in refusal(tmp_path, BASE + f"kafka: {{properties: {{{name}: 1}}}}\n")


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


def test_durations() -> None:
    assert [seconds(value) for value in ("60s", "10m", "1.5h", "7d", "250ms", 5, "5")] == [
        60.0, 600.0, 5_400.0, 604_800.0, 0.25, 5.0, 5.0,
    ]  # fmt: skip
    for wrong in ("soon", "5 parsecs", True, [1]):
        with pytest.raises(ValueError, match="a duration such as"):
            seconds(wrong)
