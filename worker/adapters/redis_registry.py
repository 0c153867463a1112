"""Bundles, thresholds and the champion in Redis."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

import redis
from pydantic import ValidationError

from worker.adapters.redis_client import script, translated
from worker.adapters.redis_keys import HISTORY_LENGTH, Keys
from worker.core.model.bundle import Bundle, BundleError, Manifest, sign, unpack, verify
from worker.core.model.serving_model import Signatures
from worker.core.model.threshold import Threshold
from worker.errors import BundleRefused
from worker.ports.stores import BundleInfo, Champion, MissingPart

# KEYS: champion, history, bundle, threshold, fence. ARGV: spec hash, pair as JSON, token, length of the history.
_PROMOTE = """
if redis.call('EXISTS', KEYS[3]) == 0 then return 'bundle' end
if redis.call('EXISTS', KEYS[4]) == 0 then return 'threshold' end
local now = redis.call('HGET', KEYS[1], ARGV[1])
if now and tonumber(cjson.decode(now)['token']) > tonumber(ARGV[3]) then return 'fenced' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[4]) - 1)
if tonumber(redis.call('GET', KEYS[5]) or '0') < tonumber(ARGV[3]) then redis.call('SET', KEYS[5], ARGV[3]) end
return 'ok'
"""
# KEYS: champion, history, bundle, threshold, bundles, thresholds of the bundle, fence, version.
# ARGV: spec hash, pair as JSON, length of the history, manifest, weights, its signature, threshold, its signature,
# creation of the threshold. No signature is an empty one.
_RESTORE = """
local mine, raw = cjson.decode(ARGV[2]), redis.call('HGET', KEYS[1], ARGV[1])
if raw then
  local now = cjson.decode(raw)
  if now['token'] > mine['token'] or (now['token'] == mine['token'] and now['version'] >= mine['version']) then
    return 'newer'
  end
end
if redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('HSET', KEYS[3], 'manifest', ARGV[4], 'weights', ARGV[5])
  if ARGV[6] ~= '' then redis.call('HSET', KEYS[3], 'signature', ARGV[6]) end
  redis.call('ZADD', KEYS[5], mine['version'], mine['bundle'])
end
if redis.call('EXISTS', KEYS[4]) == 0 then
  redis.call('HSET', KEYS[4], 'value', ARGV[7])
  if ARGV[8] ~= '' then redis.call('HSET', KEYS[4], 'signature', ARGV[8]) end
  redis.call('ZADD', KEYS[6], ARGV[9], mine['threshold'])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[3]) - 1)
for key, value in pairs({[KEYS[7]] = mine['token'], [KEYS[8]] = mine['version']}) do
  if tonumber(redis.call('GET', key) or '0') < value then redis.call('SET', key, string.format('%d', value)) end
end
return 'ok'
"""
# A version that came from elsewhere is not given out again.
_RAISE = """
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
"""


class RedisRegistry:
    """With a `signing_key`, what is not signed by it is refused on read."""

    def __init__(self, client: redis.Redis, stream: str, signing_key: bytes | None = None) -> None:
        self._client = client
        self._keys = Keys(stream)
        self._signing_key = signing_key
        self._promote = script(client, _PROMOTE)
        self._restore = script(client, _RESTORE)
        self._raise = script(client, _RAISE)

    @translated
    def champion(self, spec_hash: str) -> Champion | None:
        raw = self._client.hget(self._keys.champion(), spec_hash)
        return _champion(cast(bytes, raw)) if raw is not None else None

    @translated
    def bundle(self, digest: str) -> Bundle:
        stored = cast(dict[bytes, bytes], self._client.hgetall(self._keys.bundle(digest)))
        if b"manifest" not in stored or b"weights" not in stored:
            raise MissingPart(f"bundle {digest} is not in Redis")
        try:
            bundle = unpack(stored[b"manifest"], stored[b"weights"])
        except BundleError as error:
            raise BundleRefused(f"bundle {digest}: {error}") from error
        if bundle.digest != digest:
            raise BundleRefused(f"bundle {digest}: its content has the digest {bundle.digest}")
        self._check(f"bundle {digest}", stored[b"manifest"], stored.get(b"signature"))
        return bundle

    @translated
    def threshold(self, digest: str) -> Threshold:
        stored = cast(dict[bytes, bytes], self._client.hgetall(self._keys.threshold(digest)))
        if b"value" not in stored:
            raise MissingPart(f"threshold {digest} is not in Redis")
        try:
            threshold = Threshold.model_validate_json(stored[b"value"])
        except ValidationError as error:
            raise BundleRefused(f"threshold {digest}: {error.errors()[0]['msg']}") from error
        if threshold.digest() != digest:
            raise BundleRefused(f"threshold {digest}: its content has the digest {threshold.digest()}")
        self._check(f"threshold {digest}", stored[b"value"], stored.get(b"signature"))
        return threshold

    @translated
    def put_bundle(self, bundle: Bundle, signature: str | None = None) -> None:
        """`signature` is stored where this process has no key to sign with itself."""
        key = self._keys.bundle(bundle.digest)
        fields = {"manifest": bundle.manifest_bytes, "weights": bundle.weights}
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping=cast(Any, fields | self._signature(bundle.manifest_bytes, signature)))
            pipe.zadd(self._keys.bundles(), {bundle.digest: bundle.manifest.version})
            pipe.execute()
        self._raise([self._keys.version()], [bundle.manifest.version])

    @translated
    def put_threshold(self, threshold: Threshold, signature: str | None = None) -> None:
        raw, digest = threshold.to_bytes(), threshold.digest()
        fields = {"value": raw} | self._signature(raw, signature)
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(self._keys.threshold(digest), mapping=cast(Any, fields))
            pipe.zadd(self._keys.thresholds(threshold.bundle), {digest: _created_ms(threshold)})
            pipe.execute()

    @translated
    def thresholds(self, bundle: str) -> list[str]:
        """Digests of a bundle's thresholds, newest first."""
        found = cast(list[bytes], self._client.zrevrange(self._keys.thresholds(bundle), 0, -1))
        return [raw.decode() for raw in found]

    @translated
    def signatures(self, bundle: str, threshold: str) -> Signatures:
        keys = (self._keys.bundle(bundle), self._keys.threshold(threshold))
        found = [cast(bytes | None, self._client.hget(key, "signature")) for key in keys]
        first, second = (raw.decode("ascii", "replace") if raw is not None else None for raw in found)
        return Signatures(first, second)

    @translated
    def promote(self, spec_hash: str, champion: Champion) -> bool:
        keys = self._keys
        outcome = self._promote(
            [
                keys.champion(),
                keys.history(spec_hash),
                keys.bundle(champion.bundle),
                keys.threshold(champion.threshold),
                keys.fence(),
            ],
            [spec_hash, _json(champion), champion.token, HISTORY_LENGTH],
        )
        if outcome in (b"bundle", b"threshold"):
            named = getattr(champion, outcome.decode())
            raise MissingPart(f"{outcome.decode()} {named} is not in Redis: nothing promoted")
        return bool(outcome == b"ok")

    @translated
    def restore(
        self, spec_hash: str, champion: Champion, bundle: Bundle, threshold: Threshold, signatures: Signatures
    ) -> bool:
        keys, value = self._keys, threshold.to_bytes()
        outcome = self._restore(
            [
                keys.champion(),
                keys.history(spec_hash),
                keys.bundle(champion.bundle),
                keys.threshold(champion.threshold),
                keys.bundles(),
                keys.thresholds(champion.bundle),
                keys.fence(),
                keys.version(),
            ],
            [
                spec_hash,
                _json(champion),
                HISTORY_LENGTH,
                bundle.manifest_bytes,
                bundle.weights,
                self._signature(bundle.manifest_bytes, signatures.bundle).get("signature", b""),
                value,
                self._signature(value, signatures.threshold).get("signature", b""),
                _created_ms(threshold),
            ],
        )
        return bool(outcome == b"ok")

    @translated
    def history(self, spec_hash: str) -> list[Champion]:
        return [_champion(raw) for raw in cast(list[bytes], self._client.lrange(self._keys.history(spec_hash), 0, -1))]

    @translated
    def next_version(self) -> int:
        return int(self._client.incr(self._keys.version()))

    @translated
    def next_token(self) -> int:
        return int(self._client.incr(self._keys.fence()))

    @translated
    def bundles(self) -> list[BundleInfo]:
        digests = cast(list[bytes], self._client.zrevrange(self._keys.bundles(), 0, -1))
        found = []
        for digest in (raw.decode() for raw in digests):
            raw = self._client.hget(self._keys.bundle(digest), "manifest")
            if raw is not None:
                manifest = Manifest.model_validate_json(cast(bytes, raw))
                found.append(_info(digest, manifest))
        return found

    def _signature(self, raw: bytes, given: str | None) -> dict[str, bytes]:
        signature = sign(raw, self._signing_key) if self._signing_key is not None else given
        return {"signature": signature.encode("ascii")} if signature is not None else {}

    def _check(self, name: str, raw: bytes, signature: bytes | None) -> None:
        refusal = verify(raw, signature.decode("ascii", "replace") if signature else None, self._signing_key)
        if refusal is not None:
            raise BundleRefused(f"{name}: {refusal}")


def _info(digest: str, manifest: Manifest) -> BundleInfo:
    return BundleInfo(
        digest,
        manifest.version,
        manifest.kind,
        manifest.spec_hash,
        manifest.created_at,
        manifest.parent,
        manifest.metrics,
    )


def _created_ms(threshold: Threshold) -> int:
    try:
        return int(datetime.fromisoformat(threshold.provenance.created_at).timestamp() * 1000)
    except ValueError:
        return 0


def _json(champion: Champion) -> str:
    return json.dumps(asdict(champion), sort_keys=True)


def _champion(raw: bytes) -> Champion:
    plain = json.loads(raw)
    return Champion(plain["bundle"], plain["threshold"], plain["version"], plain["token"])
