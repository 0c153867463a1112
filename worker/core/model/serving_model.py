"""A bundle and a threshold together, ready to score with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from worker.core.model.bundle import Bundle
from worker.core.model.threshold import Threshold

if TYPE_CHECKING:  # commands that only read the registry do not load torch
    from worker.core.model.detector import Detector


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions in force, by digest."""

    bundle: str
    threshold: str


class Signatures(NamedTuple):
    """The signatures of a bundle and its threshold; None for one that is not signed."""

    bundle: str | None
    threshold: str | None


@dataclass(frozen=True, slots=True, eq=False)
class ServingModel:
    """A bundle and a threshold that belong together. Immutable, and the same on every replica.

    `created_ms` is when the bundle was made, in ms since 1970. Rows with an error below `training_cut` may be trained
    on. `bundle` and `signatures` are kept so that a store that has lost them can be given them back.
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

    @staticmethod
    def of(versions: Versions, bundle: Bundle, threshold: Threshold, signatures: Signatures) -> ServingModel:
        """Builds the detector from the bundle's weights. Raises ValueError for weights of other shapes."""
        manifest = bundle.manifest
        return ServingModel(
            versions,
            manifest.version,
            manifest.kind,
            manifest.spec_hash,
            int(datetime.fromisoformat(manifest.created_at).timestamp() * 1000),
            bundle.detector(),
            threshold,
            threshold.training_cut(),
            bundle,
            signatures,
        )
