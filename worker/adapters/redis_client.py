"""A Redis connection with short time-outs, and its errors in the ports' words."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import ConfigError, DependencyUnreachable
from worker.ports.stores import StoreUnavailable

TIMEOUT_S = 2.0

Script = Callable[[Sequence[str], Sequence[str | int | bytes]], Any]

P = ParamSpec("P")
R = TypeVar("R")


def connect(url: str) -> redis.Redis:
    """A client; nothing is sent yet. Raises ConfigError for a URL that is none, without showing its password."""
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            health_check_interval=30,
            # One immediate second try covers a connection that the server has closed; callers do their own waiting.
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError:  # whose text may show a part of the password
        raise ConfigError(
            "redis.url: not a URL that can be read; allowed: redis://user:password@host:port/0, what is special in "
            "a password percent-encoded"
        ) from None


def await_redis(client: redis.Redis, seen_as: str) -> None:
    """Raises DependencyUnreachable where Redis does not answer now."""
    try:
        client.ping()
    except redis.RedisError as error:
        raise DependencyUnreachable(f"redis.url: no answer from {seen_as}: {error}") from error


def refuse_eviction(client: redis.Redis) -> None:
    """Raises ConfigError where Redis, when it is full, deletes keys that nobody gave a time to live: models and state.

    A server that does not tell (no right to INFO, or a proxy) is let through.
    """
    try:
        policy = str(client.info("memory").get("maxmemory_policy", ""))
    except redis.RedisError:
        return
    if policy.startswith("allkeys"):
        raise ConfigError(
            f"redis.url: the server's maxmemory-policy is {policy!r}, which deletes models and state when it is full; "
            f"allowed: noeviction, volatile-*, or any with redis.allow_eviction: true"
        )


def script(client: redis.Redis, source: str) -> Script:
    """A Lua script over (keys, arguments), sent whole each time: rare writes, and no cache that a fail-over empties."""

    def call(keys: Sequence[str], arguments: Sequence[str | int | bytes]) -> Any:
        return client.eval(source, len(keys), *keys, *arguments)

    return call


def translated(call: Callable[P, R]) -> Callable[P, R]:
    """Any error of the client as StoreUnavailable: down, loading, full and read-only are all waited out."""

    @functools.wraps(call)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except redis.RedisError as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error

    return wrapper
