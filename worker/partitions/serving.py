"""The versions that judge: the champion as it changes, and the recorded pairs that a replay needs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from worker.core.model.bundle import Bundle
from worker.core.model.detector import Detector
from worker.core.model.threshold import Threshold
from worker.core.state.partition_state import Versions
from worker.errors import BundleRefused
from worker.ports.stores import Champion, MissingPart, Registry, Signatures, StoreUnavailable

POLL_S = 1.0
_CACHED_MODELS = 8

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class ServingModel:
    """A bundle and a threshold, ready to judge with. Immutable, and the same on every replica. `bundle` and
    `signatures` are for a store that has lost them.
    """

    versions: Versions
    version: int
    kind: str
    spec_hash: str
    created_ms: int
    detector: Detector
    threshold: Threshold
    training_cut: float
    bundle: Bundle
    signatures: Signatures


class ModelFeed:
    """Watches the champion in a thread of its own; the loop takes `latest` between batches and never waits for
    Redis.
    """

    def __init__(self, registry: Registry, spec_hash: str) -> None:
        self._registry = registry
        self._spec_hash = spec_hash
        self._models: OrderedDict[Versions, ServingModel] = OrderedDict()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._also: list[Callable[[], None]] = []
        self._champion: Champion | None = None
        self.latest: ServingModel | None = None
        self.reachable = True
        self.refused: str | None = None

    def also(self, check: Callable[[], None]) -> None:
        """Something else that waits for Redis now and then, after each reading of the champion."""
        self._also.append(check)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def refresh(self) -> None:
        """Read the champion once; what is wrong is kept in `reachable` and `refused`, the last good pair serves on."""
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
        except (BundleRefused, MissingPart) as error:
            if self.refused != str(error):
                log.error("champion_refused", error=str(error))
            self.refused = str(error)

    def _give_back(self, held: Champion, found: Champion | None) -> None:
        """Redis was emptied, or restored from an old backup: what serves here is later than what it has."""
        model = self.latest
        assert model is not None
        if self._registry.restore(self._spec_hash, held, model.bundle, model.threshold, model.signatures):
            log.warning("champion_given_back", version=held.version, token=held.token,
                        redis_had=None if found is None else found.version)  # fmt: skip

    def model_of(self, versions: Versions) -> ServingModel:
        """A recorded pair. Raises MissingPart where Redis has lost it, StoreUnavailable, BundleRefused."""
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
        model = ServingModel(
            versions,
            bundle.manifest.version,
            bundle.manifest.kind,
            bundle.manifest.spec_hash,
            int(datetime.fromisoformat(bundle.manifest.created_at).timestamp() * 1000),
            bundle.detector(),
            threshold,
            threshold.training_cut(),
            bundle,
            self._registry.signatures(versions.bundle, versions.threshold),
        )
        with self._lock:
            self._models[versions] = model
            while len(self._models) > _CACHED_MODELS:
                self._models.popitem(last=False)
        return model

    def _watch(self) -> None:
        while not self._stop.wait(POLL_S):
            self.refresh()
            for check in self._also:
                check()
