"""The models that score: the champion as it changes, and the recorded versions that a replay needs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import structlog

from worker.core.model.serving_model import ServingModel, Versions
from worker.errors import BundleRefused
from worker.ports.stores import Champion, MissingObject, Registry, StoreUnavailable

POLL_S = 1.0
_CACHED_MODELS = 8

log = structlog.get_logger()


class ModelFeed:
    """Watches the champion in a thread of its own.

    The loop takes `latest` between batches, and never waits for Redis.
    """

    def __init__(self, registry: Registry, spec_hash: str) -> None:
        self._registry = registry
        self._spec_hash = spec_hash
        self._models: OrderedDict[Versions, ServingModel] = OrderedDict()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._checks: list[Callable[[], None]] = []
        self._champion: Champion | None = None
        self.latest: ServingModel | None = None
        self.reachable = True
        self.refused: str | None = None

    def add_check(self, check: Callable[[], None]) -> None:
        """Call `check` after each reading of the champion: something else that may wait for Redis."""
        self._checks.append(check)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def refresh(self) -> None:
        """Read the champion once. Failures are kept in `reachable` and `refused`; the last good model serves on."""
        try:
            champion = self._registry.champion(self._spec_hash)
            held = self._champion
            if held is not None and (champion is None or champion.order < held.order):
                self._give_back(held, champion)
            elif champion is not None:
                versions = Versions(champion.bundle, champion.threshold)
                if self.latest is None or self.latest.versions != versions:
                    self.latest = self._load(versions)
                self._champion = champion
            self.refused = None
            self.reachable = True
        except StoreUnavailable as error:
            if self.reachable:
                log.warning("redis_unreachable", error=str(error), effect="scoring goes on with what is in memory")
            self.reachable = False
        except (BundleRefused, MissingObject) as error:
            if self.refused != str(error):
                log.error("champion_refused", error=str(error))
            self.refused = str(error)

    def _give_back(self, held: Champion, found: Champion | None) -> None:
        """Redis was emptied or restored from an old backup, and the model that serves here is newer than Redis's."""
        model = self.latest
        assert model is not None
        if self._registry.restore(self._spec_hash, held, model.bundle, model.threshold, model.signatures):
            redis_had = None if found is None else found.version
            log.warning("champion_given_back", version=held.version, token=held.token, redis_had=redis_had)

    def model_of(self, versions: Versions) -> ServingModel:
        """The model of recorded versions. Raises MissingObject, StoreUnavailable or BundleRefused."""
        latest = self.latest
        if latest is not None and latest.versions == versions:
            return latest
        return self._load(versions)

    def _load(self, versions: Versions) -> ServingModel:
        with self._lock:
            if versions in self._models:
                self._models.move_to_end(versions)
                return self._models[versions]
        bundle = self._registry.bundle(versions.bundle)
        threshold = self._registry.threshold(versions.threshold)
        if bundle.manifest.spec_hash != self._spec_hash:
            raise BundleRefused(
                f"bundle {versions.bundle} was trained for feature spec {bundle.manifest.spec_hash}, "
                f"the configuration has {self._spec_hash}"
            )
        if threshold.bundle != versions.bundle:
            raise BundleRefused(f"threshold {versions.threshold} belongs to bundle {threshold.bundle}")
        signatures = self._registry.signatures(versions.bundle, versions.threshold)
        model = ServingModel.of(versions, bundle, threshold, signatures)
        with self._lock:
            self._models[versions] = model
            while len(self._models) > _CACHED_MODELS:
                self._models.popitem(last=False)
        return model

    def _watch(self) -> None:
        while not self._stop.wait(POLL_S):
            self.refresh()
            for check in self._checks:
                check()
