"""Logs of an API gateway: routes with their methods, sizes and speeds, from four kinds of clients, over two days."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.streams.anomalies import Flat, Kind, Stream, flat_events, nested, planted
from tests.benchmarks.streams.draws import Random, arrivals, heavy, hour_of, iso, number_of, pick, pick_given, spread

BY_HOUR = [3, 2, 2, 2, 3, 4, 6, 8, 10, 12, 13, 13, 12, 13, 13, 12, 11, 10, 10, 10, 9, 7, 5, 4]
ROUTES = {
    "/v1/items": 30, "/v1/items/{id}": 24, "/v1/search": 14, "/v1/cart": 11, "/v1/session": 7, "/v1/prices": 5,
    "/v1/orders": 4, "/v1/orders/{id}": 2.5, "/v1/uploads": 1.2, "/v1/reports": 0.8, "/v1/webhooks": 0.3,
    "/internal/health": 0.2,
}  # fmt: skip
METHODS: dict[str, dict[str, float]] = {
    "/v1/items": {"GET": 97, "HEAD": 3},
    "/v1/items/{id}": {"GET": 99, "PUT": 1},
    "/v1/search": {"GET": 70, "POST": 30},
    "/v1/cart": {"GET": 50, "POST": 35, "DELETE": 15},
    "/v1/session": {"POST": 90, "DELETE": 10},
    "/v1/prices": {"GET": 1},
    "/v1/orders": {"GET": 45, "POST": 55},
    "/v1/orders/{id}": {"GET": 95, "PATCH": 5},
    "/v1/uploads": {"PUT": 1},
    "/v1/reports": {"GET": 1},
    "/v1/webhooks": {"POST": 1},
    "/internal/health": {"GET": 1},
}
"""Which method is used on which route, and how often."""
REPLY_BYTES = {
    "/v1/items": 18_000, "/v1/items/{id}": 2_400, "/v1/search": 9_000, "/v1/cart": 900, "/v1/session": 350,
    "/v1/prices": 5_000, "/v1/orders": 3_000, "/v1/orders/{id}": 1_500, "/v1/uploads": 200, "/v1/reports": 400_000,
    "/v1/webhooks": 60, "/internal/health": 30,
}  # fmt: skip
MILLISECONDS = {
    "/v1/items": 35, "/v1/items/{id}": 12, "/v1/search": 140, "/v1/cart": 20, "/v1/session": 75, "/v1/prices": 9,
    "/v1/orders": 90, "/v1/orders/{id}": 18, "/v1/uploads": 350, "/v1/reports": 2_600, "/v1/webhooks": 45,
    "/internal/health": 1.5,
}  # fmt: skip
APPS = {"web": 46, "ios": 25, "android": 24, "partner": 4, "cron": 1}
STATUS: dict[str, dict[int, float]] = {
    "GET": {200: 92, 304: 5, 404: 2.4, 429: 0.4, 503: 0.15},
    "HEAD": {200: 96, 404: 4},
    "POST": {200: 60, 201: 35, 400: 3.5, 401: 1.2, 429: 0.3},
    "PUT": {200: 97, 413: 3},
    "PATCH": {200: 94, 409: 6},
    "DELETE": {204: 98, 404: 2},
}
CACHED = ("/v1/items", "/v1/items/{id}", "/v1/prices")


def make(rng: Random, n: int) -> Stream:
    """n events and their truth."""
    times = arrivals(rng, n, 2, [float(weight) for weight in BY_HOUR], "2025-05-13")
    route = pick(rng, ROUTES, n)
    method = pick_given(rng, route, METHODS)
    status = pick_given(rng, method, STATUS)
    flaky = (route == "/v1/reports") & (rng.random(n) < 0.08)  # the one route that fails now and then
    status[flaky] = 500
    app = pick(rng, APPS, n)
    app[(route == "/internal/health") | ((route == "/v1/reports") & (rng.random(n) < 0.4))] = "cron"
    app[route == "/v1/webhooks"] = "partner"
    cache = np.where((np.isin(route.astype(str), CACHED)) & (method == "GET"), "MISS", "BYPASS").astype(object)
    cache[(cache == "MISS") & (rng.random(n) < 0.7)] = "HIT"
    empty = np.isin(status.astype(int), (204, 304)) | (method == "HEAD")
    failed = status.astype(int) >= 400
    reply = heavy(rng, number_of(route, REPLY_BYTES), 0.4, n)
    reply = np.where(empty, 0, np.where(failed, spread(rng, 180.0, 0.1, n), reply)).round()
    load = 1 + 0.5 * np.array(BY_HOUR)[hour_of(times).astype(int)] / 13  # slower while there is more to do
    took = spread(rng, number_of(route, MILLISECONDS) * load, 0.3, n) * np.where(cache == "HIT", 0.25, 1.0)
    took = took + reply / 40_000
    body = {"POST": 700.0, "PUT": 4_000.0, "PATCH": 250.0, "GET": 0.0, "HEAD": 0.0, "DELETE": 0.0}
    asked = heavy(rng, number_of(method, body), 0.5, n) * np.where(route == "/v1/uploads", 200, 1)
    user = [
        None if a in ("cron", "partner") else f"u-{u:04d}" for a, u in zip(app, rng.zipf(1.4, n) % 3_000, strict=True)
    ]
    columns: dict[str, Any] = {
        "request_id": [f"{rng.integers(1 << 60):015x}" for _ in range(n)],
        "ts": iso(times),
        "client.app": app,
        "client.user": user,
        "http.route": route,
        "http.method": method,
        "http.status": status,
        "http.request_bytes": asked.round().astype(int),
        "http.response_bytes": reply.astype(int),
        "upstream.pod": [f"pod-{p}" for p in rng.integers(0, 9, n)],
        "upstream.duration_ms": took.round(1),
        "upstream.attempts": 1 + (rng.random(n) < 0.03).astype(int) + (rng.random(n) < 0.004),
        "cache": cache,
        "tls": pick(rng, {"TLSv1.3": 94, "TLSv1.2": 6}, n),
    }
    events = flat_events(columns)
    truth = planted(events, kinds(), rng)
    return [nested(event) for event in events], truth


def kinds() -> list[Kind]:
    """What is planted."""

    def hangs(event: Flat, _: Flat, rng: Random) -> None:
        event["upstream.duration_ms"] = round(float(rng.uniform(28_000, 31_000)), 1)

    def slow(event: Flat, _: Flat, rng: Random) -> None:
        event["upstream.duration_ms"] = round(float(rng.uniform(180, 500)), 1)

    def unseen(event: Flat, _: Flat, rng: Random) -> None:
        event["http.route"] = str(rng.choice(["/.env", "/wp-login.php", "/v1/admin/users"]))

    def deletes(event: Flat, _: Flat, rng: Random) -> None:
        event["http.method"] = "DELETE"

    def fails(event: Flat, _: Flat, rng: Random) -> None:
        event["http.status"] = 500
        event["http.response_bytes"] = round(float(spread(rng, 180.0, 0.1, 1)[0]))

    def tries(event: Flat, _: Flat, rng: Random) -> None:
        event["upstream.attempts"] = int(rng.integers(6, 12))

    def leaks(event: Flat, _: Flat, rng: Random) -> None:
        event["http.response_bytes"] = int(rng.uniform(15_000, 60_000))

    quick = ("/v1/items/{id}", "/v1/prices", "/v1/cart", "/v1/orders/{id}")
    return [
        Kind("duration far out", hangs, lambda e: e["http.route"] != "/v1/reports"),
        Kind("duration wrong for the route", slow, lambda e: e["http.route"] in quick),
        Kind("unseen route", unseen),
        Kind("method never used on the route", deletes, lambda e: e["http.route"] in ("/v1/items", "/v1/prices")),
        Kind("status 500 where it never is", fails, lambda e: e["http.route"] not in ("/v1/reports",)),
        Kind("many attempts", tries),
        Kind("large reply without content", leaks, lambda e: e["http.status"] in (304, 204, 404)),
    ]
