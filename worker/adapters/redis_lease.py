"""The trainer's lease in Redis: time-limited, with a fencing token that grows with each holder."""

from __future__ import annotations

import uuid

import redis

from worker.adapters.redis_client import script, translated
from worker.adapters.redis_keys import LEASE_MS, Keys

_ACQUIRE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return redis.call('INCR', KEYS[2]) end
return false
"""
_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class RedisLease:
    def __init__(self, client: redis.Redis, stream: str, ttl_ms: int = LEASE_MS) -> None:
        keys = Keys(stream)
        self._keys = [keys.lease(), keys.fence()]
        self._holder = uuid.uuid4().hex
        self._ttl_ms = ttl_ms
        self._acquire = script(client, _ACQUIRE)
        self._renew = script(client, _RENEW)
        self._release = script(client, _RELEASE)

    @translated
    def acquire(self) -> int | None:
        token = self._acquire(self._keys, [self._holder, self._ttl_ms])
        return int(token) if token else None

    @translated
    def renew(self) -> bool:
        return bool(self._renew(self._keys[:1], [self._holder, self._ttl_ms]))

    @translated
    def release(self) -> None:
        self._release(self._keys[:1], [self._holder])
