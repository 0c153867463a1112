"""Bundles, thresholds and the champion in Redis."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

import redis
from pydantic import ValidationError

from worker.adapters.redis_client import make_script, translate_errors
from worker.adapters.redis_keys import HISTORY_LENGTH, Keys
from worker.core.model.bundle import Bundle, BundleError, Manifest, sign, unpack, verify
from worker.core.model.serving_model import Signatures
from worker.core.model.threshold import Threshold
from worker.errors import BundleRefused
from worker.ports.stores import BundleInfo, Champion, MissingObject

_PROMOTE = """
local champion, history, bundle, threshold, fence = unpack(KEYS)
local spec_hash, pair, token, history_length = unpack(ARGV)
if redis.call('EXISTS', bundle) == 0 then return 'bundle' end
if redis.call('EXISTS', threshold) == 0 then return 'threshold' end
local present = redis.call('HGET', champion, spec_hash)
if present and tonumber(cjson.decode(present)['token']) > tonumber(token) then return 'fenced' end
redis.call('HSET', champion, spec_hash, pair)
redis.call('LPUSH', history, pair)
redis.call('LTRIM', history, 0, tonumber(history_length) - 1)
if tonumber(redis.call('GET', fence) or '0') < tonumber(token) then redis.call('SET', fence, token) end
return 'ok'
"""
# An empty signature stands for none.
_RESTORE = """
local champion, history, bundle, threshold, bundles, thresholds, fence, version = unpack(KEYS)
local spec_hash, pair, history_length, manifest, weights, bundle_signature, value, threshold_signature, created_ms
  = unpack(ARGV)
local restored, raw = cjson.decode(pair), redis.call('HGET', champion, spec_hash)
if raw then
  local present = cjson.decode(raw)
  if present['token'] > restored['token']
    or (present['token'] == restored['token'] and present['version'] >= restored['version']) then
    return 'newer'
  end
end
if redis.call('EXISTS', bundle) == 0 then
  redis.call('HSET', bundle, 'manifest', manifest, 'weights', weights)
  if bundle_signature ~= '' then redis.call('HSET', bundle, 'signature', bundle_signature) end
  redis.call('ZADD', bundles, restored['version'], restored['bundle'])
end
if redis.call('EXISTS', threshold) == 0 then
  redis.call('HSET', threshold, 'value', value)
  if threshold_signature ~= '' then redis.call('HSET', threshold, 'signature', threshold_signature) end
  redis.call('ZADD', thresholds, created_ms, restored['threshold'])
end
redis.call('HSET', champion, spec_hash, pair)
redis.call('LPUSH', history, pair)
redis.call('LTRIM', history, 0, tonumber(history_length) - 1)
for counter, least in pairs({[fence] = restored['token'], [version] = restored['version']}) do
  if tonumber(redis.call('GET', counter) or '0') < least then
    redis.call('SET', counter, string.format('%d', least))
  end
end
return 'ok'
"""
# So that the number of a version that came from elsewhere is not given to another one.
_RAISE_VERSION = """
local counter = unpack(KEYS)
local version = unpack(ARGV)
if tonumber(redis.call('GET', counter) or '0') < tonumber(version) then redis.call('SET', counter, version) end
"""


class RedisRegistry:
    """The `Registry` port. With a `signing_key`, reads refuse bundles and thresholds that it did not sign."""

    def __init__(self, client: redis.Redis, stream: str, signing_key: bytes | None = None) -> None:
        self._client = client
        self._keys = Keys(stream)
        self._signing_key = signing_key
        self._promote = make_script(client, _PROMOTE)
        self._restore = make_script(client, _RESTORE)
        self._raise_version = make_script(client, _RAISE_VERSION)

    @translate_errors
    def champion(self, spec_hash: str) -> Champion | None:
        raw = self._client.hget(self._keys.champion(), spec_hash)
        return _decode(cast(bytes, raw)) if raw is not None else None

    @translate_errors
    def bundle(self, digest: str) -> Bundle:
        stored = cast(dict[bytes, bytes], self._client.hgetall(self._keys.bundle(digest)))
        if b"manifest" not in stored or b"weights" not in stored:
            raise MissingObject(f"bundle {digest} is not in Redis")
        try:
            bundle = unpack(stored[b"manifest"], stored[b"weights"])
        except BundleError as error:
            raise BundleRefused(f"bundle {digest}: {error}") from error
        if bundle.digest != digest:
            raise BundleRefused(f"bundle {digest}: its content has the digest {bundle.digest}")
        self._check_signature(f"bundle {digest}", stored[b"manifest"], stored.get(b"signature"))
        return bundle

    @translate_errors
    def threshold(self, digest: str) -> Threshold:
        stored = cast(dict[bytes, bytes], self._client.hgetall(self._keys.threshold(digest)))
        if b"value" not in stored:
            raise MissingObject(f"threshold {digest} is not in Redis")
        try:
            threshold = Threshold.model_validate_json(stored[b"value"])
        except ValidationError as error:
            raise BundleRefused(f"threshold {digest}: {error.errors()[0]['msg']}") from error
        if threshold.digest() != digest:
            raise BundleRefused(f"threshold {digest}: its content has the digest {threshold.digest()}")
        self._check_signature(f"threshold {digest}", stored[b"value"], stored.get(b"signature"))
        return threshold

    @translate_errors
    def put_bundle(self, bundle: Bundle, signature: str | None = None) -> None:
        """`signature` is stored if this process has no key of its own to sign with."""
        key = self._keys.bundle(bundle.digest)
        fields = {"manifest": bundle.manifest_bytes, "weights": bundle.weights}
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping=cast(Any, fields | self._signature_field(bundle.manifest_bytes, signature)))
            pipe.zadd(self._keys.bundles(), {bundle.digest: bundle.manifest.version})
            pipe.execute()
        self._raise_version([self._keys.version()], [bundle.manifest.version])

    @translate_errors
    def put_threshold(self, threshold: Threshold, signature: str | None = None) -> None:
        raw, digest = threshold.to_bytes(), threshold.digest()
        fields = {"value": raw} | self._signature_field(raw, signature)
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(self._keys.threshold(digest), mapping=cast(Any, fields))
            pipe.zadd(self._keys.thresholds(threshold.bundle), {digest: _created_ms(threshold)})
            pipe.execute()

    @translate_errors
    def thresholds(self, bundle: str) -> list[str]:
        """Digests of a bundle's thresholds, newest first."""
        found = cast(list[bytes], self._client.zrevrange(self._keys.thresholds(bundle), 0, -1))
        return [raw.decode() for raw in found]

    @translate_errors
    def signatures(self, bundle: str, threshold: str) -> Signatures:
        keys = (self._keys.bundle(bundle), self._keys.threshold(threshold))
        found = [cast(bytes | None, self._client.hget(key, "signature")) for key in keys]
        first, second = (raw.decode("ascii", "replace") if raw is not None else None for raw in found)
        return Signatures(first, second)

    @translate_errors
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
            [spec_hash, _encode(champion), champion.token, HISTORY_LENGTH],
        )
        if outcome in (b"bundle", b"threshold"):
            digest = getattr(champion, outcome.decode())
            raise MissingObject(f"{outcome.decode()} {digest} is not in Redis: nothing promoted")
        return bool(outcome == b"ok")

    @translate_errors
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
                _encode(champion),
                HISTORY_LENGTH,
                bundle.manifest_bytes,
                bundle.weights,
                self._signature_field(bundle.manifest_bytes, signatures.bundle).get("signature", b""),
                value,
                self._signature_field(value, signatures.threshold).get("signature", b""),
                _created_ms(threshold),
            ],
        )
        return bool(outcome == b"ok")

    @translate_errors
    def history(self, spec_hash: str) -> list[Champion]:
        return [_decode(raw) for raw in cast(list[bytes], self._client.lrange(self._keys.history(spec_hash), 0, -1))]

    @translate_errors
    def next_version(self) -> int:
        return int(self._client.incr(self._keys.version()))

    @translate_errors
    def next_token(self) -> int:
        return int(self._client.incr(self._keys.fence()))

    @translate_errors
    def bundles(self) -> list[BundleInfo]:
        digests = cast(list[bytes], self._client.zrevrange(self._keys.bundles(), 0, -1))
        found = []
        for digest in (raw.decode() for raw in digests):
            raw = self._client.hget(self._keys.bundle(digest), "manifest")
            if raw is not None:
                manifest = Manifest.model_validate_json(cast(bytes, raw))
                found.append(_bundle_info(digest, manifest))
        return found

    def _signature_field(self, raw: bytes, given: str | None) -> dict[str, bytes]:
        """The field `signature` of a hash, by our key or as `given`; empty if there is neither."""
        signature = sign(raw, self._signing_key) if self._signing_key is not None else given
        return {"signature": signature.encode("ascii")} if signature is not None else {}

    def _check_signature(self, name: str, raw: bytes, signature: bytes | None) -> None:
        refusal = verify(raw, signature.decode("ascii", "replace") if signature else None, self._signing_key)
        if refusal is not None:
            raise BundleRefused(f"{name}: {refusal}")


def _bundle_info(digest: str, manifest: Manifest) -> BundleInfo:
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


def _encode(champion: Champion) -> str:
    return json.dumps(asdict(champion), sort_keys=True)


def _decode(raw: bytes) -> Champion:
    plain = json.loads(raw)
    return Champion(plain["bundle"], plain["threshold"], plain["version"], plain["token"])
