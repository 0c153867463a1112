"""Registry and lease, on the real Redis and on the fake."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import redis

from tests.core.examples import SPEC, rows
from tests.services.redis import RedisServer
from training.learn.calibrate import calibrate
from training.learn.fit import fit
from worker.adapters.redis_client import refuse_eviction
from worker.adapters.redis_keys import Keys
from worker.adapters.redis_lease import RedisLease
from worker.adapters.redis_registry import RedisRegistry
from worker.core.model.bundle import Bundle, pack
from worker.core.model.serving_model import Signatures
from worker.core.model.threshold import Provenance, Threshold
from worker.errors import BundleRefused, ConfigError
from worker.ports.stores import Champion, MissingObject, Registry

FITTED = fit(SPEC, rows(400), kind="denoising", seed=0)
HASH = SPEC.spec_hash


def version(number: int) -> tuple[Bundle, Threshold]:
    bundle = pack(
        version=number,
        kind="denoising",
        encoder=FITTED.encoder,
        tensors=FITTED.tensors,
        parent=None,
        created_at="2026-01-01T00:00:00Z",
        data={"t/0": [0, 399]},
        metrics={"stop_loss": 0.5},
        libraries={},
        seed=0,
    )
    errors = FITTED.detector().errors(FITTED.encoder.transform(rows(400, seed=1)))
    return bundle, calibrate(errors, bundle=bundle.digest, alert_rate=0.01, created_at="2026-01-01T00:00:00Z")


def put(registry: Registry, number: int, token: int) -> Champion:
    bundle, threshold = version(number)
    registry.put_bundle(bundle)
    registry.put_threshold(threshold)
    return Champion(bundle.digest, threshold.digest(), number, token)


def test_a_stored_model_is_read_back_and_scores_the_same_bits(client: redis.Redis, stream: str) -> None:
    registry = RedisRegistry(client, stream)
    champion = put(registry, 1, 1)
    assert registry.bundle(champion.bundle) == version(1)[0]
    assert registry.threshold(champion.threshold) == version(1)[1]
    encoded = FITTED.encoder.transform(rows(100, seed=2))
    served = registry.bundle(champion.bundle).detector()
    assert (served.errors(encoded) == FITTED.detector().errors(encoded)).all()
    assert [info.version for info in registry.bundles()] == [1]


def test_keys_begin_with_the_stream_in_braces(client: redis.Redis, stream: str) -> None:
    put(RedisRegistry(client, stream), 1, 1)
    mine = [key.decode() for key in client.scan_iter(f"*{stream}*")]
    assert len(mine) >= 3
    assert all(key.startswith(f"offbeat:{{{stream}}}:") for key in mine)


def test_promotion_is_fenced_and_needs_bundle_and_threshold(registry: Registry) -> None:
    assert registry.champion(HASH) is None
    first, second = put(registry, 1, 5), put(registry, 2, 4)
    assert registry.promote(HASH, first)
    assert not registry.promote(HASH, second)
    assert registry.champion(HASH) == first
    assert registry.promote(HASH, replace(second, token=6))
    assert registry.champion("sha256:other") is None
    assert [past.version for past in registry.history(HASH)] == [2, 1]
    with pytest.raises(MissingObject, match="bundle nowhere"):
        registry.promote(HASH, replace(first, bundle="nowhere", token=9))
    with pytest.raises(MissingObject, match="threshold nowhere"):
        registry.promote(HASH, replace(first, threshold="nowhere", token=9))
    assert registry.history(HASH)[0].version == 2


def test_a_champion_is_restored_only_if_it_is_later(registry: Registry) -> None:
    held, none = put(registry, 7, 50), Signatures(None, None)
    older, later = put(registry, 6, 50), replace(held, token=51)
    assert registry.promote(HASH, older)
    assert registry.restore(HASH, held, *version(7), none)
    assert registry.champion(HASH) == held
    assert registry.promote(HASH, later)
    assert not registry.restore(HASH, held, *version(7), none)
    assert registry.champion(HASH) == later
    assert registry.next_token() > 51
    assert registry.next_version() > 7
    assert registry.signatures(held.bundle, held.threshold) == none


def counters(client: redis.Redis, stream: str) -> tuple[int, int]:
    keys = Keys(stream)
    return int(client.get(keys.fence()) or 0), int(client.get(keys.version()) or 0)


def test_a_lost_champion_is_restored_with_its_parts_and_counters(client: redis.Redis, stream: str) -> None:
    registry = RedisRegistry(client, stream)
    champion = Champion(version(7)[0].digest, version(7)[1].digest(), 7, 50)
    assert registry.restore(HASH, champion, *version(7), Signatures(None, None))
    assert registry.champion(HASH) == champion
    assert (registry.bundle(champion.bundle), registry.threshold(champion.threshold)) == version(7)
    assert [info.version for info in registry.bundles()] == [7]
    assert registry.thresholds(champion.bundle) == [champion.threshold]
    assert registry.history(HASH) == [champion]
    assert counters(client, stream) == (50, 7)
    assert registry.next_token() == 51
    assert registry.next_version() == 8
    lease = RedisLease(client, stream)
    assert lease.acquire() == 52
    assert registry.promote(HASH, replace(champion, token=52)), "a trainer that comes after is not fenced"


def test_only_a_later_champion_replaces_the_present_one(client: redis.Redis, stream: str) -> None:
    registry = RedisRegistry(client, stream)
    held, none = put(registry, 7, 50), Signatures(None, None)
    other = put(registry, 6, 50)
    client.delete(Keys(stream).bundle(held.bundle), Keys(stream).threshold(held.threshold))
    later = [replace(other, token=51), replace(other, version=8), replace(other, version=7)]
    for there in later:  # an operator's rollback; a later version of the same trainer; a threshold moved since
        client.hdel(Keys(stream).champion(), HASH)
        assert registry.promote(HASH, there)
        assert not registry.restore(HASH, held, *version(7), none)
        assert registry.champion(HASH) == there
        with pytest.raises(MissingObject):
            registry.bundle(held.bundle)
    client.set(Keys(stream).fence(), 90)
    client.set(Keys(stream).version(), 91)
    for there in (replace(other, token=49, version=9), other):  # an old backup, of another trainer or of the same
        client.hdel(Keys(stream).champion(), HASH)
        assert registry.promote(HASH, there)
        assert registry.restore(HASH, held, *version(7), none)
        assert registry.champion(HASH) == held
        assert registry.history(HASH)[:2] == [held, there]
        assert registry.bundle(held.bundle) == version(7)[0]
    assert counters(client, stream) == (90, 91), "never backwards"


def test_a_restored_champion_keeps_its_signatures(client: redis.Redis, stream: str) -> None:
    signed, plain = RedisRegistry(client, stream, b"key"), RedisRegistry(client, stream)
    champion = put(signed, 1, 1)
    signatures = plain.signatures(champion.bundle, champion.threshold)
    for restoring, kept in ((plain, signatures), (signed, Signatures(None, None))):
        client.delete(*client.keys(f"*{stream}*"))
        assert restoring.restore(HASH, champion, *version(1), kept)
        assert (signed.bundle(champion.bundle), signed.threshold(champion.threshold)) == version(1)


def test_a_promotion_raises_the_counter_of_tokens(client: redis.Redis, stream: str) -> None:
    """A trainer that promotes once more under a token from before the loss does not fence its successors."""
    registry = RedisRegistry(client, stream)
    assert registry.promote(HASH, put(registry, 1, 30))
    assert registry.next_token() == 31


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_a_server_that_may_evict_models_and_state_is_refused_with_the_key(own_redis: RedisServer, policy: str) -> None:
    client = redis.Redis.from_url(own_redis.url)
    client.config_set("maxmemory-policy", policy)
    message = (
        rf"redis.url: .*maxmemory-policy is '{policy}'.*allowed: noeviction, volatile-\*.*redis.allow_eviction: true"
    )
    with pytest.raises(ConfigError, match=message):
        refuse_eviction(client)


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-ttl"])
def test_a_server_that_evicts_only_keys_with_a_time_to_live_is_accepted(own_redis: RedisServer, policy: str) -> None:
    client = redis.Redis.from_url(own_redis.url)
    client.config_set("maxmemory-policy", policy)
    refuse_eviction(client)


def test_a_server_that_does_not_report_its_policy_is_accepted(client: redis.Redis, own_redis: RedisServer) -> None:
    refuse_eviction(client)
    own = redis.Redis.from_url(own_redis.url)
    own.config_set("maxmemory-policy", "allkeys-lru")
    own.acl_setuser("limited", enabled=True, passwords=["+word"], keys=["*"], commands=["+@all", "-info", "-config"])
    limited = redis.Redis.from_url(own_redis.url.replace("redis://", "redis://limited:word@"))
    with pytest.raises(redis.exceptions.NoPermissionError):
        limited.info("memory")
    refuse_eviction(limited)
    own.acl_setuser("limited", commands=["+info"])
    with pytest.raises(ConfigError):  # no right to CONFIG is needed
        refuse_eviction(limited)


def test_damage_and_foreign_signatures_are_refused(client: redis.Redis, stream: str) -> None:
    signed = RedisRegistry(client, stream, b"key")
    champion = put(signed, 1, 1)
    assert signed.bundle(champion.bundle)
    assert RedisRegistry(client, stream).bundle(champion.bundle)  # without a key no signature is checked
    with pytest.raises(BundleRefused, match="the signature is wrong"):
        RedisRegistry(client, stream, b"other").bundle(champion.bundle)
    with pytest.raises(BundleRefused, match="the signature is wrong"):
        RedisRegistry(client, stream, b"other").threshold(champion.threshold)
    unsigned = put(RedisRegistry(client, stream), 2, 1)
    with pytest.raises(BundleRefused, match="not signed"):
        signed.bundle(unsigned.bundle)
    client.hset(f"offbeat:{{{stream}}}:bundle:{champion.bundle}", "weights", b"x")
    with pytest.raises(BundleRefused, match="sha256"):
        signed.bundle(champion.bundle)
    with pytest.raises(MissingObject):
        signed.bundle("nowhere")


def test_versions_and_tokens_grow(registry: Registry) -> None:
    assert [registry.next_version() for _ in range(3)] == [1, 2, 3]
    assert registry.next_token() < registry.next_token()


def test_a_lease_has_one_holder_and_a_growing_token(client: redis.Redis, stream: str) -> None:
    one, two = RedisLease(client, stream, ttl_ms=300), RedisLease(client, stream, ttl_ms=300)
    token = one.acquire()
    assert token is not None
    assert two.acquire() is None
    assert not two.renew()
    assert one.renew()
    deadline = time.monotonic() + 10
    while (later := two.acquire()) is None:
        assert time.monotonic() < deadline, "the first holder's lease did not expire"
        time.sleep(0.02)
    assert later > token
    assert not one.renew()
    one.release()  # not its own any more
    assert two.renew()
    two.release()
    assert one.acquire() is not None


def threshold_of(bundle: str, cut: float, created_at: str) -> Threshold:
    return Threshold(
        bundle=bundle,
        alert_rate=0.001,
        cut=cut,
        n=10,
        histogram=((1, 10),),
        tail=None,
        provenance=Provenance(kind="merged", created_at=created_at, reason="test"),
    )


def test_thresholds_of_a_bundle_are_indexed_newest_first(client: redis.Redis, stream: str) -> None:
    registry = RedisRegistry(client, stream)
    made = [
        threshold_of("b", 1.0 + day, created_at)
        for day, created_at in enumerate(["2026-01-02T00:00:00Z", "2026-01-03T00:00:00.500Z", "2026-01-01T00:00:00Z"])
    ]
    for threshold in (*made, made[0]):
        registry.put_threshold(threshold)
    assert registry.thresholds("b") == [made[i].digest() for i in (1, 0, 2)]
    assert registry.thresholds("other") == []


def test_a_stored_signature_that_is_not_text_is_refused_by_name(client: redis.Redis, stream: str) -> None:
    registry = RedisRegistry(client, stream, b"key")
    threshold = threshold_of("b", 1.0, "2026-01-02T00:00:00Z")
    registry.put_threshold(threshold)
    client.hset(Keys(stream).threshold(threshold.digest()), "signature", b"\xff\xfe")
    with pytest.raises(BundleRefused, match="the signature is wrong"):
        registry.threshold(threshold.digest())
