"""The trainer's lease in Redis: time-limited, with a fencing token that grows with each holder."""

from __future__ import annotations

import uuid

import redis

from worker.adapters.redis_client import make_script, translate_errors
from worker.adapters.redis_keys import LEASE_MS, Keys

_ACQUIRE = """
local lease, fence = unpack(KEYS)
local holder, ttl_ms = unpack(ARGV)
if redis.call('SET', lease, holder, 'NX', 'PX', ttl_ms) then return redis.call('INCR', fence) end
return false
"""
_RENEW = """
local lease = unpack(KEYS)
local holder, ttl_ms = unpack(ARGV)
if redis.call('GET', lease) == holder then return redis.call('PEXPIRE', lease, ttl_ms) end
return 0
"""
_RELEASE = """
local lease = unpack(KEYS)
local holder = unpack(ARGV)
if redis.call('GET', lease) == holder then return redis.call('DEL', lease) end
return 0
"""


class RedisLease:
    """The `Lease` port on one Redis key that expires."""

    def __init__(self, client: redis.Redis, stream: str, ttl_ms: int = LEASE_MS) -> None:
        keys = Keys(stream)
        self._keys = [keys.lease(), keys.fence()]
        self._holder = uuid.uuid4().hex
        self._ttl_ms = ttl_ms
        self._acquire = make_script(client, _ACQUIRE)
        self._renew = make_script(client, _RENEW)
        self._release = make_script(client, _RELEASE)

    @translate_errors
    def acquire(self) -> int | None:
        token = self._acquire(self._keys, [self._holder, self._ttl_ms])
        return int(token) if token else None

    @translate_errors
    def renew(self) -> bool:
        return bool(self._renew(self._keys[:1], [self._holder, self._ttl_ms]))

    @translate_errors
    def release(self) -> None:
        self._release(self._keys[:1], [self._holder])
