"""Bundles: the weights, the encoder and the feature spec of one model; the unit of publishing, swapping and rollback.

The weights are safetensors, everything else is JSON in the manifest, and nothing in a bundle can run code. A bundle is
named by the digest of its manifest, which holds the SHA-256 of the weights. With a key, the manifest is signed by
HMAC-SHA256.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import safetensors
from pydantic import BaseModel, ConfigDict, ValidationError

from worker.core.events.spec import FeatureSpec
from worker.core.model.digest import digest_of

if TYPE_CHECKING:  # torch takes seconds to import, and listing models or rolling back does not need it
    from torch import Tensor

    from worker.core.model.detector import Detector
    from worker.core.model.encoder import Encoder

MAX_BYTES = 256_000_000
FORMAT = 3


class BundleError(ValueError):
    """A bundle that is damaged or of another format, or whose contents do not fit each other."""


class Change(BaseModel):
    """What has changed for good in a field, in words: `before`, and `after` since the event time `since` in ms, None if
    the rows had no times. `hint` says what it may be; empty if nothing is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    before: str
    after: str
    since: int | None
    hint: str


class Manifest(BaseModel):
    """`data` holds first and last offsets by "topic/partition"; `metrics` the figures of training and of the gate;
    `changes` what has changed for good within the rows that the model was fitted on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[3] = 3
    version: int
    kind: str
    spec: FeatureSpec
    spec_hash: str
    encoder: dict[str, Any]
    parent: str | None
    created_at: str
    data: dict[str, tuple[int, int]]
    metrics: dict[str, float]
    weights_sha256: str
    libraries: dict[str, str]
    seed: int
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """A bundle is immutable, and two bundles with the same digest are the same."""

    manifest: Manifest
    manifest_bytes: bytes
    weights: bytes

    @cached_property
    def digest(self) -> str:
        """The bundle's name: `digest_of` its manifest."""
        return digest_of(self.manifest_bytes)

    def detector(self) -> Detector:
        """Build the detector. Raises BundleError if encoder and weights do not fit each other."""
        from safetensors.torch import load

        from worker.core.model.detector import Detector
        from worker.core.model.encoder import Encoder

        manifest = self.manifest
        try:
            tensors = load(self.weights)
            return Detector(Encoder.from_json(manifest.spec, manifest.encoder), manifest.kind, tensors)
        except (safetensors.SafetensorError, ValueError) as error:
            raise BundleError(f"bundle {self.digest}: {error}") from error


def pack(
    *,
    version: int,
    kind: str,
    encoder: Encoder,
    tensors: dict[str, Tensor],
    parent: str | None,
    created_at: str,
    data: dict[str, list[int]],
    metrics: dict[str, float],
    libraries: dict[str, str],
    seed: int,
    changes: tuple[Change, ...] = (),
) -> Bundle:
    """Make a bundle; the same arguments give the same bytes. `data`: [first, last] offsets by "topic/partition"."""
    from safetensors.torch import save

    weights = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    manifest = Manifest(
        version=version,
        kind=kind,
        spec=encoder.spec,
        spec_hash=encoder.spec.spec_hash,
        encoder=encoder.to_json(),
        parent=parent,
        created_at=created_at,
        data={name: (first, last) for name, (first, last) in data.items()},
        metrics=metrics,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        libraries=libraries,
        seed=seed,
        changes=changes,
    )
    raw = json.dumps(manifest.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()
    return Bundle(manifest, raw, weights)


def unpack(manifest_bytes: bytes, weights: bytes) -> Bundle:
    """Open a bundle and check it; `detector` checks the shapes. Raises BundleError with the reason."""
    if len(manifest_bytes) + len(weights) > MAX_BYTES:
        raise BundleError(f"larger than {MAX_BYTES} bytes")
    try:
        written = json.loads(manifest_bytes).get("format")
        if written != FORMAT:
            raise BundleError(f"written in format {written}; this release reads {FORMAT}: train a new model")
    except (ValueError, AttributeError) as error:
        raise error if isinstance(error, BundleError) else BundleError(f"manifest: no JSON object: {error}") from error
    try:
        manifest = Manifest.model_validate_json(manifest_bytes)
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(f"manifest: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if hashlib.sha256(weights).hexdigest() != manifest.weights_sha256:
        raise BundleError("the weights are not those that the manifest names (sha256)")
    if manifest.spec.spec_hash != manifest.spec_hash:
        raise BundleError("the feature spec is not the one that the manifest's spec hash names")
    return Bundle(manifest, manifest_bytes, weights)


def sign(raw: bytes, key: bytes) -> str:
    """The signature of `raw`: HMAC-SHA256 in hex."""
    return hmac.new(key, raw, hashlib.sha256).hexdigest()


def verify(raw: bytes, signature: str | None, key: bytes | None) -> str | None:
    """The reason why a signature is refused; None if it is valid, or if no key is configured."""
    if key is None:
        return None
    if not signature:
        return "not signed, though a signing key is configured"
    return None if hmac.compare_digest(sign(raw, key).encode(), signature.encode()) else "the signature is wrong"
