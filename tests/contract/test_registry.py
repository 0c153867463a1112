"""Registry and lease, on the real Redis and on the fake."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import redis

from tests.core.examples import SPEC, rows
from training.calibrate import calibrate
from training.fit import fit
from worker.adapters.redis_keys import Keys
from worker.adapters.redis_lease import RedisLease
from worker.adapters.redis_registry import RedisRegistry
from worker.core.bundle import Bundle, pack
from worker.core.threshold import Provenance, Threshold
from worker.errors import BundleRefused
from worker.ports import Champion, MissingPart

FITTED = fit(SPEC, rows(400), kind="denoising", seed=0)
HASH = SPEC.spec_hash


def version(number: int) -> tuple[Bundle, Threshold]:
    bundle = pack(
        version=number, kind="denoising", encoder=FITTED.encoder, tensors=FITTED.tensors, parent=None,
        created_at="2026-01-01T00:00:00Z", data={"t/0": [0, 399]},
        metrics={"stop_loss": 0.5}, libraries={}, seed=0,
    )  # fmt: skip
    errors = FITTED.detector().errors(FITTED.encoder.transform(rows(400, seed=1)))
    return bundle, calibrate(errors, bundle=bundle.digest, alert_rate=0.01, created_at="2026-01-01T00:00:00Z")


def put(registry: RedisRegistry, number: int, token: int) -> Champion:
    bundle, threshold = version(number)
    registry.put_bundle(bundle)
    registry.put_threshold(threshold)
    return Champion(bundle.digest, threshold.digest(), number, token)


def test_what_is_put_is_got_and_serves_the_same_bits(client: redis.Redis, stream: str) -> None:
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


def test_promotion_is_fenced_and_needs_its_parts(client: redis.Redis, stream: str) -> None:
    registry = RedisRegistry(client, stream)
    assert registry.champion(HASH) is None
    first, second = put(registry, 1, 5), put(registry, 2, 4)
    assert registry.promote(HASH, first)
    assert not registry.promote(HASH, second)
    assert registry.champion(HASH) == first
    assert registry.promote(HASH, replace(second, token=6))
    assert registry.champion("sha256:other") is None
    assert [past.version for past in registry.history(HASH)] == [2, 1]
    with pytest.raises(MissingPart, match="bundle nowhere"):
        registry.promote(HASH, replace(first, bundle="nowhere", token=9))
    with pytest.raises(MissingPart, match="threshold nowhere"):
        registry.promote(HASH, replace(first, threshold="nowhere", token=9))
    assert registry.history(HASH)[0].version == 2


def test_damage_and_foreign_signatures_are_refused(client: redis.Redis, stream: str) -> None:
    signed = RedisRegistry(client, stream, b"key")
    champion = put(signed, 1, 1)
    assert signed.bundle(champion.bundle)
    assert RedisRegistry(client, stream).bundle(champion.bundle)  # without a key nothing is asked
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
    with pytest.raises(MissingPart):
        signed.bundle("nowhere")


def test_versions_and_tokens_grow(client: redis.Redis, stream: str) -> None:
    registry = RedisRegistry(client, stream)
    assert [registry.next_version() for _ in range(3)] == [1, 2, 3]
    assert registry.next_token() < registry.next_token()


def test_a_lease_has_one_holder_and_a_growing_token(client: redis.Redis, stream: str) -> None:
    one, two = RedisLease(client, stream, ttl_ms=300), RedisLease(client, stream, ttl_ms=300)
    token = one.acquire()
    assert token is not None
    assert two.acquire() is None
    assert not two.renew()
    assert one.renew()
    time.sleep(0.5)
    later = two.acquire()
    assert later is not None
    assert later > token
    assert not one.renew()
    one.release()  # not its own any more
    assert two.renew()
    two.release()
    assert one.acquire() is not None


def test_thresholds_of_a_bundle_are_indexed_newest_first(client: redis.Redis, stream: str) -> None:
    registry = RedisRegistry(client, stream)
    made = [
        Threshold(
            bundle="b", alert_rate=0.001, cut=1.0 + day, n=10, histogram=((1, 10),), tail=None,
            provenance=Provenance(kind="merged", created_at=created_at, reason="test"),
        )
        for day, created_at in enumerate(["2026-01-02T00:00:00Z", "2026-01-03T00:00:00.500Z", "2026-01-01T00:00:00Z"])
    ]  # fmt: skip
    for threshold in (*made, made[0]):
        registry.put_threshold(threshold)
    assert registry.thresholds("b") == [made[i].digest() for i in (1, 0, 2)]
    assert registry.thresholds("other") == []


def test_a_stored_signature_that_is_no_text_is_refused_by_name(client: redis.Redis, stream: str) -> None:
    registry = RedisRegistry(client, stream, b"key")
    threshold = Threshold(
        bundle="b", alert_rate=0.001, cut=1.0, n=10, histogram=((1, 10),), tail=None,
        provenance=Provenance(kind="merged", created_at="2026-01-02T00:00:00Z", reason="test"),
    )  # fmt: skip
    registry.put_threshold(threshold)
    client.hset(Keys(stream).threshold(threshold.digest()), "signature", b"\xff\xfe")
    with pytest.raises(BundleRefused, match="the signature is wrong"):
        registry.threshold(threshold.digest())
