"""The model feed: the champion as it changes, what it refuses, and what it gives back to an emptied Redis."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import pytest

from tests.model.stores import MemoryRegistry
from tests.model.stream import SETTINGS, serving_model, versions
from worker.core.model.bundle import Bundle
from worker.core.model.serving_model import Versions
from worker.errors import BundleRefused
from worker.partitions import model_feed
from worker.partitions.model_feed import ModelFeed
from worker.ports.stores import Champion, MissingObject, StoreUnavailable

SPEC_HASH = SETTINGS.spec.spec_hash


class Counted(MemoryRegistry):
    """Counts how often each bundle was read."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.up = True
        self.read: Counter[str] = Counter()

    def _answer(self) -> None:
        if not self.up:
            raise StoreUnavailable("planted")

    def bundle(self, digest: str) -> Bundle:
        self.read[digest] += 1
        return super().bundle(digest)


@pytest.fixture
def registry() -> Counted:
    return Counted()


@pytest.fixture
def feed(registry: Counted) -> ModelFeed:
    return ModelFeed(registry, SPEC_HASH)


def promote(registry: MemoryRegistry, number: int) -> Champion:
    return registry.promote_version(SPEC_HASH, versions()[number - 1])


def latest(feed: ModelFeed) -> Versions | None:
    return feed.latest.versions if feed.latest is not None else None


def test_the_latest_model_is_the_champion(registry: Counted, feed: ModelFeed) -> None:
    feed.refresh()
    assert feed.latest is None
    for number in (1, 2):
        promote(registry, number)
        feed.refresh()
        assert latest(feed) == serving_model(number).versions


def test_an_unchanged_champion_is_not_loaded_again(registry: Counted, feed: ModelFeed) -> None:
    champion = promote(registry, 1)
    feed.refresh()
    model = feed.latest
    reads = registry.read[champion.bundle]
    for _ in range(3):
        feed.refresh()
    assert feed.latest is model
    assert registry.read[champion.bundle] == reads


def test_the_last_good_model_serves_while_redis_is_down(registry: Counted, feed: ModelFeed) -> None:
    promote(registry, 1)
    feed.refresh()
    registry.up = False
    feed.refresh()
    assert (feed.reachable, feed.refused) == (False, None)
    assert latest(feed) == serving_model(1).versions
    registry.up = True
    promote(registry, 2)
    feed.refresh()
    assert feed.reachable
    assert latest(feed) == serving_model(2).versions


def test_a_champion_that_cannot_be_loaded_is_refused_and_the_last_good_model_serves(
    registry: Counted, feed: ModelFeed
) -> None:
    promote(registry, 1)
    feed.refresh()
    promote(registry, 2)
    bundle = registry.bundle(serving_model(2).versions.bundle)

    def lost(digest: str) -> Bundle:
        raise MissingObject(f"bundle {digest}")

    registry.bundle = lost  # type: ignore[method-assign]
    feed.refresh()
    assert feed.refused == f"bundle {bundle.digest}"
    assert feed.reachable
    assert latest(feed) == serving_model(1).versions
    del registry.bundle
    feed.refresh()
    assert feed.refused is None
    assert latest(feed) == serving_model(2).versions


def test_a_bundle_of_another_feature_spec_is_refused(registry: Counted) -> None:
    feed = ModelFeed(registry, "sha256:other")
    promoted = registry.promote_version("sha256:other", versions()[0])
    feed.refresh()
    assert feed.latest is None
    assert feed.refused is not None and f"bundle {promoted.bundle} was trained for feature spec" in feed.refused


def test_a_threshold_of_another_bundle_is_refused(registry: Counted, feed: ModelFeed) -> None:
    for version in versions():
        registry.put_version(version)
    mixed = Versions(serving_model(1).versions.bundle, serving_model(2).versions.threshold)
    with pytest.raises(BundleRefused, match="belongs to bundle"):
        feed.model_of(mixed)


def test_recorded_versions_are_loaded_whatever_serves_now(registry: Counted, feed: ModelFeed) -> None:
    promote(registry, 1)
    promote(registry, 2)
    feed.refresh()
    assert feed.model_of(serving_model(2).versions) is feed.latest
    assert feed.model_of(serving_model(1).versions).versions == serving_model(1).versions
    with pytest.raises(MissingObject):
        feed.model_of(serving_model(3).versions)
    registry.up = False
    with pytest.raises(StoreUnavailable):
        feed.model_of(serving_model(3).versions)


def test_a_few_models_are_kept_in_memory(registry: Counted, feed: ModelFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_feed, "_CACHED_MODELS", 2)
    for version in versions():
        registry.put_version(version)
    one, two, three = (serving_model(number).versions for number in (1, 2, 3))
    first = feed.model_of(one)
    feed.model_of(two)
    assert feed.model_of(one) is first
    feed.model_of(three)  # the one used longest ago, the second, makes room
    assert feed.model_of(one) is first
    assert registry.read == {one.bundle: 1, two.bundle: 1, three.bundle: 1}
    feed.model_of(two)
    assert registry.read[two.bundle] == 2


def test_an_emptied_redis_is_given_the_champion_back(registry: Counted, feed: ModelFeed) -> None:
    promote(registry, 1)
    champion = promote(registry, 2)
    feed.refresh()
    registry.wipe()
    feed.refresh()
    assert registry.champion(SPEC_HASH) == champion
    assert registry.bundle(champion.bundle).digest == champion.bundle
    assert registry.next_token() > champion.token


def test_an_old_backup_does_not_bring_back_an_old_champion_but_an_operator_does(
    registry: Counted, feed: ModelFeed
) -> None:
    old = promote(registry, 1)
    new = promote(registry, 2)
    feed.refresh()
    registry.wipe()
    registry.put_version(versions()[0])
    registry.promote(SPEC_HASH, old)
    feed.refresh()
    assert registry.champion(SPEC_HASH) == new
    assert latest(feed) == serving_model(2).versions
    registry.promote(SPEC_HASH, replace(old, token=registry.next_token()))
    feed.refresh()
    assert latest(feed) == serving_model(1).versions


def test_the_watching_thread_reads_the_champion_and_runs_the_checks(
    registry: Counted, feed: ModelFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_feed, "POLL_S", 0.001)
    promote(registry, 1)
    checked = threading.Event()
    feed.add_check(checked.set)
    feed.start()
    assert checked.wait(10.0)
    feed.stop()
    assert latest(feed) == serving_model(1).versions
