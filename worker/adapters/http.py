"""Probes, metrics and status over HTTP: `/livez`, `/readyz`, `/metrics`, `/api/status` and a page.

Everything is read-only and served from daemon threads. A slow or misbehaving client affects neither the loop nor the
other clients.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as MetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from worker.adapters.status_page import CONTENT_SECURITY_POLICY, PAGE
from worker.errors import ConfigError
from worker.ports.metrics import Metric

CLIENT_TIMEOUT_S = 5.0
MAX_CONNECTIONS = 64

log = structlog.get_logger()


class Probe(NamedTuple):
    """The answer of a probe, and its reason."""

    ok: bool
    reason: str = "ok"


class StatusServer:
    """Serves until `stop`. Its threads call the callables once per request; one that raises is a failed probe.

    Port 0 takes any free port, which `port` then names. Raises ConfigError if it cannot listen on the port.
    """

    def __init__(
        self,
        port: int,
        live: Callable[[], Probe],
        ready: Callable[[], Probe],
        status: Callable[[], dict[str, Any]],
        metrics: Callable[[], Iterable[Metric]],
        host: str = "0.0.0.0",  # noqa: S104 - probes and scrapes come from other machines
    ) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_MetricCollector(metrics))
        ProcessCollector(registry=registry)
        routes: dict[str, Callable[[], _Reply]] = {
            "/livez": lambda: _probe_reply(live()),
            "/readyz": lambda: _probe_reply(ready()),
            "/metrics": lambda: _Reply(200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)),
            "/api/status": lambda: _Reply(200, "application/json", _json(status())),
            "/": lambda: _Reply(200, "text/html; charset=utf-8", PAGE.encode()),
        }
        try:
            self._server = _Server((host, port), routes)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"http.port: {port} cannot be listened on ({error}); allowed: a free port, or 0"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(CLIENT_TIMEOUT_S)


class _Reply(NamedTuple):
    status: int
    content_type: str
    body: bytes


def _probe_reply(probe: Probe) -> _Reply:
    return _Reply(200 if probe.ok else 503, "text/plain; charset=utf-8", f"{probe.reason}\n".encode())


def _json(status: dict[str, Any]) -> bytes:
    return json.dumps(status, allow_nan=False, default=str).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], routes: dict[str, Callable[[], _Reply]]) -> None:
        self.routes = routes
        self._clients: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the client. At MAX_CONNECTIONS the oldest is dropped, so that slow clients cannot lock
        out probes.
        """
        with self._lock:
            oldest = next(iter(self._clients)) if len(self._clients) >= MAX_CONNECTIONS else None
            if oldest is not None:
                del self._clients[oldest]
            self._clients[request] = None
        if oldest is not None:
            _disconnect(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log errors, but not clients that went away or were too slow."""
        if not isinstance(sys.exception(), OSError):
            log.error("http_failed", error=repr(sys.exception()))


def _disconnect(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is already gone


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_TIMEOUT_S
    server_version = "offbeat"
    sys_version = ""

    def do_GET(self) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        if route is None:
            self._send(_text_reply(404, "not found"))
            return
        try:
            reply = route()
        except Exception as error:  # a failing page must still get an answer, and not end the thread
            log.warning("http_page_failed", path=self.path, error=repr(error))
            reply = _text_reply(503, f"{type(error).__name__}: see the log")
        self._send(reply)

    def do_HEAD(self) -> None:
        self.do_GET()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer for the base class, which refuses bad requests and, with 501, methods other than GET and HEAD."""
        if code == 501:
            self._send(_text_reply(405, "read-only: GET and HEAD"))
        else:
            self._send(_text_reply(code, "bad request"))

    def _send(self, reply: _Reply) -> None:
        self.send_response(reply.status)
        headers = {
            "Content-Type": reply.content_type,
            "Content-Length": str(len(reply.body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Allow": "GET, HEAD",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests: probes come every second."""


def _text_reply(status: int, text: str) -> _Reply:
    return _Reply(status, "text/plain; charset=utf-8", f"{text}\n".encode())


class _MetricCollector(Collector):
    def __init__(self, metrics: Callable[[], Iterable[Metric]]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[MetricFamily]:
        for metric in self._metrics():
            yield _family(metric)


_FAMILIES: dict[str, Any] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def _family(metric: Metric) -> Any:
    family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.samples:
        if isinstance(value, int | float):
            family.add_metric(labels, value)
        else:
            buckets = [("+Inf" if bound == float("inf") else str(bound), float(n)) for bound, n in value.cumulative()]
            family.add_metric(labels, buckets, value.total)
    return family
