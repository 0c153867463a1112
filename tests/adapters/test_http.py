"""Probes, metrics, status and page over real sockets, and the counters behind them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.steps import NOW_MS, SOURCE, decoded, encoded, held_back, output, scored, step
from worker.adapters import http as http_adapter
from worker.adapters.http import Probe, StatusServer
from worker.adapters.status_page import PAGE
from worker.core.model.serving_model import ServingModel
from worker.errors import ConfigError
from worker.health.metrics import metrics
from worker.telemetry import Health, Telemetry


@dataclass
class Behind:
    """The server's callables, which a test may replace."""

    live: Callable[[], Probe] = lambda: Probe(True)
    ready: Callable[[], Probe] = lambda: Probe(False, "flows/3: recovering")
    status: Callable[[], dict[str, Any]] = lambda: {"stream": "flows"}
    telemetry: Telemetry = field(default_factory=lambda: Telemetry("flows", wall_ms=lambda: NOW_MS))


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def server(behind: Behind) -> Iterator[StatusServer]:
    server = StatusServer(
        0,
        live=lambda: behind.live(),
        ready=lambda: behind.ready(),
        status=lambda: behind.status(),
        metrics=lambda: metrics(behind.telemetry),
        host="127.0.0.1",
    )
    yield server
    server.stop()


def ask(server: StatusServer, path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def samples(server: StatusServer) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Sample values by name and labels, without `stream`, which every metric of ours must have."""
    found = {}
    for family in text_string_to_metric_families(ask(server, "/metrics")[2]):
        for sample in family.samples:
            labels = dict(sample.labels)
            if sample.name.startswith("offbeat_"):
                assert labels.pop("stream") == "flows", sample
            found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


# Routes.


def test_probes_answer_with_status_and_reason(server: StatusServer, behind: Behind) -> None:
    assert ask(server, "/livez")[::2] == (200, "ok\n")
    assert ask(server, "/readyz")[::2] == (503, "flows/3: recovering\n")
    behind.ready = lambda: Probe(True)
    assert ask(server, "/readyz?verbose")[0] == 200


def test_a_probe_that_raises_is_a_failed_one_and_the_next_request_is_served(
    server: StatusServer, behind: Behind, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Probe:
        raise ZeroDivisionError("private detail")

    behind.live = broken
    status, _, body = ask(server, "/livez")
    assert (status, body) == (503, "ZeroDivisionError: see the log\n")
    assert ask(server, "/readyz")[0] == 503
    assert "Traceback" not in "".join(capfd.readouterr())


def test_status_is_json(server: StatusServer, behind: Behind) -> None:
    behind.status = lambda: {"stream": "<b>", "lag": {"flows/3": 7}}
    status, headers, body = ask(server, "/api/status")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {"stream": "<b>", "lag": {"flows/3": 7}}


def test_the_page_stands_alone_and_lets_only_its_own_script_run(server: StatusServer) -> None:
    status, headers, body = ask(server, "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert body == PAGE
    assert not re.search(r"https?://|\bsrc=|\bhref=|@import|url\(", body)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", body)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, directive in [("script", "script-src"), ("style", "style-src")]:
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", body, re.DOTALL)
        digest = hashlib.sha256(text.encode()).digest()
        assert f"{directive} 'sha256-{base64.b64encode(digest).decode()}'" in policy


def test_an_unknown_path_is_not_found_and_nothing_can_be_written(server: StatusServer) -> None:
    assert ask(server, "/nothing")[0] == 404
    assert ask(server, "/livez/")[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PURGE"):
        status, headers, _ = ask(server, "/api/status", method)
        assert (status, headers["allow"]) == (405, "GET, HEAD"), method


def test_head_answers_without_a_body(server: StatusServer) -> None:
    status, headers, body = ask(server, "/api/status", "HEAD")
    assert (status, body) == (200, "")
    assert int(headers["content-length"]) == len(json.dumps({"stream": "flows"}))
    with raw(server, b"HEAD /api/status HTTP/1.0\r\n\r\n") as client:
        received = b"".join(iter(lambda: client.recv(65_536), b""))
    assert received.endswith(b"\r\n\r\n")


# Clients that misbehave.


def raw(server: StatusServer, sent: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    client.sendall(sent)
    return client


@pytest.mark.parametrize("request_line", [b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_a_malformed_request_is_refused_quietly(
    server: StatusServer, request_line: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with raw(server, request_line) as client:
        assert b"<html" not in client.recv(65_536)
    assert ask(server, "/livez")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_client_that_hangs_up_early_goes_unnoticed(server: StatusServer, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(20):
        client = raw(server, b"GET /metrics HTTP/1.1\r\n\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        client.close()  # a reset, while the answer is being written
    assert ask(server, "/livez")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_silent_client_is_dropped(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    assert http_adapter._Handler.timeout == http_adapter.CLIENT_TIMEOUT_S
    monkeypatch.setattr(http_adapter._Handler, "timeout", 0.05)
    server = StatusServer(0, behind.live, behind.ready, behind.status, lambda: (), host="127.0.0.1")
    with raw(server, b"GET /livez HT") as client:
        assert client.recv(1) == b""
    server.stop()


def test_more_slow_clients_than_connections_do_not_lock_out_a_probe(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_adapter, "MAX_CONNECTIONS", 4)
    monkeypatch.setattr(http_adapter._Handler, "timeout", 600.0)
    clients = [raw(server, b"GET /livez HT") for _ in range(12)]
    assert ask(server, "/livez")[0] == 200
    assert len(server._server._clients) <= 4
    assert clients[0].recv(1) == b""  # the oldest made room
    for client in clients:
        client.close()


# The port.


def test_a_port_in_use_is_a_configuration_error_that_names_its_key(server: StatusServer) -> None:
    with pytest.raises(ConfigError, match=rf"http\.port: {server.port} .*in use"):
        StatusServer(server.port, lambda: Probe(True), lambda: Probe(True), dict, lambda: (), host="127.0.0.1")


def test_a_stopped_server_gives_its_port_back(behind: Behind) -> None:
    first = StatusServer(0, behind.live, behind.ready, behind.status, lambda: (), host="127.0.0.1")
    first.stop()
    StatusServer(first.port, behind.live, behind.ready, behind.status, lambda: (), host="127.0.0.1").stop()


# Metrics.


def test_a_fresh_worker_shows_every_plain_counter_at_zero(server: StatusServer) -> None:
    found = samples(server)
    assert found["offbeat_records_total", ()] == 0
    assert found["offbeat_transactions_total", (("outcome", "aborted"),)] == 0
    assert found["offbeat_batch_seconds_count", ()] == 0
    assert any(name.startswith("process_") for name, _ in found)
    assert ("offbeat_bundle_version", ()) not in found  # no model yet: no number, rather than 0


PLAIN = {
    "offbeat_threshold_at_bound": 1.0,
    "offbeat_records_total": 7,
    "offbeat_events_scored_total": 3,
    "offbeat_events_flagged_total": 2,
    "offbeat_tombstones_total": 1,
    "offbeat_missing_values_total": 3,
    "offbeat_out_of_range_values_total": 1,
    "offbeat_future_times_total": 2,
    "offbeat_late_times_total": 5,
    "offbeat_entities_evicted_total": 4,
    "offbeat_dead_letters_total": 1,
    "offbeat_batch_seconds_count": 1,
    "offbeat_event_delay_seconds_count": 3,
    "offbeat_event_delay_seconds_sum": pytest.approx(2.1),
    "offbeat_bundle_version": 12,
    "offbeat_bundle_age_seconds": 90,
    "offbeat_threshold": 9.75,
    "offbeat_version_switches_total": 1,
}
LABELLED = {
    ("offbeat_rejects_total", (("reason", "not_json"),)): 1,
    ("offbeat_rejects_total", (("reason", "field"),)): 2,
    ("offbeat_held_back_total", (("reason", "cooldown"),)): 1,
    ("offbeat_alerts_total", (("kind", "anomaly"), ("severity", "major"), ("status", "open"))): 2,
    ("offbeat_lag_records", (("partition", "3"), ("topic", "flows"))): 42,
    ("offbeat_degraded", (("reason", "redis"),)): 1,
    ("offbeat_alert_rate_ratio", (("kind", "target"),)): 0.002,
    ("offbeat_alert_rate_ratio", (("kind", "observed"),)): pytest.approx(2 / 3),
    ("offbeat_event_delay_seconds_bucket", (("le", "0.125"),)): 2,
    ("offbeat_event_delay_seconds_bucket", (("le", "2.0"),)): 3,
    ("offbeat_event_delay_seconds_bucket", (("le", "+Inf"),)): 3,
}


def test_what_the_loop_counts_is_what_is_shown(server: StatusServer, behind: Behind) -> None:
    telemetry = behind.telemetry
    missing = [[True, False], [True, True], [False, False]]
    clipped = [[False, False], [False, True], [False, False]]
    rows = scored([True, False, True], [100, 2_000, -5])
    rejects = decoded(1, "not_json", "field", "field")
    telemetry.count_step(7, rejects, step(rows, encoded(missing, clipped), [held_back()]))
    telemetry.count_turn(0.01)
    alert = output("anomaly", "open", "major")
    telemetry.count_commit([alert, alert, output("dead_letter"), output("score")])
    telemetry.set_health(Health(lag={SOURCE: 42}, degraded={"redis": "unreachable since 12:00"}))
    threshold = SimpleNamespace(cut=9.75, alert_rate=0.002, provenance=SimpleNamespace(at_bound=True))
    model = SimpleNamespace(version=12, created_ms=NOW_MS - 90_000, threshold=threshold)
    telemetry.count_switch(cast(ServingModel, model))
    found = samples(server)
    assert {name: found[name, ()] for name in PLAIN} == PLAIN
    assert {key: found[key] for key in LABELLED} == LABELLED
