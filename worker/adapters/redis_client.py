"""A Redis client with short time-outs, and the translation of its errors into the ports'."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import ConfigError
from worker.ports.stores import StoreUnavailable

TIMEOUT_S = 2.0

Script = Callable[[Sequence[str], Sequence[str | int | bytes]], Any]

P = ParamSpec("P")
R = TypeVar("R")


def connect(url: str) -> redis.Redis:
    """A client, which connects at its first call. Raises ConfigError for a malformed URL, without showing it."""
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            health_check_interval=30,
            # One immediate retry covers a connection that the server has closed. Callers do all other waiting.
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError:  # its text may contain a part of the password
        raise ConfigError(
            "redis.url: not a URL that can be read; allowed: redis://user:password@host:port/0, with special "
            "characters in the password percent-encoded"
        ) from None


def refuse_eviction(client: redis.Redis) -> None:
    """Raises ConfigError if a full Redis would delete keys without a time to live, which are models and state.

    A server that does not answer INFO (no right to, or a proxy) passes.
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


def make_script(client: redis.Redis, source: str) -> Script:
    """A Lua script as a function of (keys, arguments).

    The source is sent with each call: writes are rare, and a fail-over would empty the server's script cache.
    """

    def call(keys: Sequence[str], arguments: Sequence[str | int | bytes]) -> Any:
        return client.eval(source, len(keys), *keys, *arguments)

    return call


def translate_errors(call: Callable[P, R]) -> Callable[P, R]:
    """Raise any error of the client as StoreUnavailable: callers wait for a Redis that is down, full or read-only."""

    @functools.wraps(call)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except redis.RedisError as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error

    return wrapper
