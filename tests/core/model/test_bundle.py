"""Bundles and archives: damage and misfits are refused with the reason, and a round trip scores with the same bits."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.core.examples import SPEC, rows
from training.learn.fit import fit
from worker.core.model import archive
from worker.core.model.archive import Archive
from worker.core.model.bundle import Bundle, BundleError, Manifest, pack, sign, unpack, verify
from worker.core.model.detector import Detector
from worker.core.model.threshold import Provenance, Threshold

KEY = b"a key"
Plain = dict[str, Any]


def make() -> tuple[Detector, Bundle]:
    fitted = fit(SPEC, rows(300), kind="denoising", seed=7)
    bundle = pack(
        version=3,
        kind="denoising",
        encoder=fitted.encoder,
        tensors=fitted.tensors,
        parent=None,
        created_at="2026-01-01T00:00:00Z",
        data={"flows/0": [0, 299]},
        metrics={"rows": 300.0},
        libraries={},
        seed=7,
    )
    return fitted.detector(), bundle


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return make()[1]


def threshold_of(bundle: Bundle) -> Threshold:
    return Threshold(
        bundle=bundle.digest,
        alert_rate=0.001,
        cut=2.5,
        n=100,
        histogram=((10, 90), (40, 10)),
        tail=None,
        provenance=Provenance(kind="calibration", created_at="2026-01-01T00:00:00Z", reason="test"),
    )


def alter(bundle: Bundle, change: Callable[[Plain], object]) -> bytes:
    plain = json.loads(bundle.manifest_bytes)
    change(plain)
    return json.dumps(plain).encode()


def test_a_round_trip_scores_with_the_same_bits() -> None:
    detector, bundle = make()
    again = unpack(bundle.manifest_bytes, bundle.weights)
    assert again.digest == bundle.digest
    block = rows(1_000, seed=5, missing=0.05)
    reopened = again.detector()
    expected = detector.errors(detector.encoder.transform(block))
    assert reopened.errors(reopened.encoder.transform(block)).tobytes() == expected.tobytes()


def test_the_same_content_is_the_same_bundle() -> None:
    assert make()[1].digest == make()[1].digest


def test_any_flipped_bit_of_the_weights_is_found(bundle: Bundle) -> None:
    for place in range(0, len(bundle.weights), max(1, len(bundle.weights) // 50)):
        damaged = bytearray(bundle.weights)
        damaged[place] ^= 1
        with pytest.raises(BundleError, match="the weights are not those"):
            unpack(bundle.manifest_bytes, bytes(damaged))


def change_spec(plain: Plain) -> None:
    plain["spec"]["features"][0]["field"] = "z"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_spec, "the feature spec is not the one"),
        (lambda plain: plain.update(spec_hash="sha256:0"), "the feature spec is not the one"),
        (lambda plain: plain.update(format=1), "written in format 1; this release reads 3: train a new model"),
        (lambda plain: plain.update(extra=1), "manifest: extra"),
        (lambda plain: plain.pop("seed"), "manifest: seed"),
        (lambda plain: plain.update(version="three"), "manifest: version"),
        (lambda plain: plain["metrics"].update(rows=float("inf")), "manifest"),
        (lambda plain: plain.update(weights_sha256="0" * 64), "the weights are not those"),
    ],
)
def test_a_changed_manifest_is_refused(bundle: Bundle, change: Callable[[Plain], object], reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        unpack(alter(bundle, change), bundle.weights)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", pickle.dumps({"a": 1})])
def test_other_bytes_than_a_manifest_are_refused(bundle: Bundle, raw: bytes) -> None:
    with pytest.raises(BundleError, match="manifest"):
        unpack(raw, bundle.weights)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda plain: plain["encoder"]["parts"].pop(), "4 parts and 5 masks for 5 features"),
        (lambda plain: plain["encoder"]["parts"][0].update(surprise=1), "not an encoder"),
        (lambda plain: plain.update(encoder={}), "not an encoder"),
        (lambda plain: plain.update(kind="pickled"), "model kind 'pickled'; allowed"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(
    bundle: Bundle, change: Callable[[Plain], object], reason: str
) -> None:
    opened = unpack(alter(bundle, change), bundle.weights)
    with pytest.raises(BundleError, match=reason):
        opened.detector()


def with_weights(bundle: Bundle, weights: bytes) -> Bundle:
    sha256 = hashlib.sha256(weights).hexdigest()
    return unpack(alter(bundle, lambda plain: plain.update(weights_sha256=sha256)), weights)


def test_weights_of_another_shape_make_no_detector(bundle: Bundle) -> None:
    from safetensors.torch import load, save

    tensors = load(bundle.weights)
    for name in sorted(tensors):
        for wrong in ({**tensors, name: torch.zeros(7)}, {k: tensor for k, tensor in tensors.items() if k != name}):
            with pytest.raises(BundleError, match=r"do not fit the network|not a finite tensor of shape|not of shape"):
                with_weights(bundle, save(wrong)).detector()
    with pytest.raises(BundleError, match="do not fit the network"):
        with_weights(bundle, save({**tensors, "autoencoder.more": torch.zeros(1)})).detector()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("conditional.variance", 0.0),
        ("conditional.spread", -1.0),
        ("conditional.matrix", float("nan")),
        ("marginal.table", -1.0),
        ("marginal.table", float("inf")),
    ],
)
def test_values_that_no_fit_gives_are_refused(bundle: Bundle, name: str, value: float) -> None:
    from safetensors.torch import load, save

    tensors = load(bundle.weights)
    tensors[name].view(-1)[0] = value
    with pytest.raises(BundleError, match=name.split(".")[0]):
        with_weights(bundle, save(tensors)).detector()


def test_a_pickle_is_never_opened(bundle: Bundle) -> None:
    class Executed:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return pytest.fail, ("code from a bundle ran",)

    for protocol in (0, 2, 5):
        with pytest.raises(BundleError):
            with_weights(bundle, pickle.dumps(Executed(), protocol)).detector()
    assert bundle.weights[8:9] == b"{", "safetensors: a length, then JSON"


def test_signatures(bundle: Bundle) -> None:
    raw = bundle.manifest_bytes
    assert verify(raw, sign(raw, KEY), KEY) is None
    assert verify(raw, None, None) is None
    assert verify(raw, None, KEY) == "not signed, though a signing key is configured"
    assert verify(raw, sign(raw, b"another"), KEY) == "the signature is wrong"
    assert verify(raw + b" ", sign(raw, KEY), KEY) == "the signature is wrong"
    assert verify(raw, "é", KEY) == "the signature is wrong"


# Archives.


def zip_files(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return out.getvalue()


@pytest.fixture(scope="module")
def files(bundle: Bundle) -> dict[str, bytes]:
    return {
        "manifest.json": bundle.manifest_bytes,
        "weights.safetensors": bundle.weights,
        "threshold.json": threshold_of(bundle).to_bytes(),
    }


def with_signatures(files: dict[str, bytes], key: bytes = KEY) -> dict[str, bytes]:
    return {
        **files,
        "manifest.sig": sign(files["manifest.json"], key).encode(),
        "threshold.sig": sign(files["threshold.json"], key).encode(),
    }


def test_an_archive_comes_back_as_it_was(bundle: Bundle) -> None:
    threshold = threshold_of(bundle)
    signatures = sign(bundle.manifest_bytes, KEY), sign(threshold.to_bytes(), KEY)
    for original, key in ((Archive(bundle, threshold), None), (Archive(bundle, threshold, *signatures), KEY)):
        raw = archive.write(original)
        assert archive.write(original) == raw
        assert archive.read(raw, key) == original


def test_an_archive_from_any_zip_program_is_read(files: dict[str, bytes]) -> None:
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        assert archive.read(zip_files(files, compression)).threshold.n == 100


def test_an_archive_not_signed_by_the_key_is_refused(files: dict[str, bytes]) -> None:
    assert archive.read(zip_files(with_signatures(files)), KEY)
    for wrong in (
        files,
        with_signatures(files, b"another"),
        {name: content for name, content in with_signatures(files).items() if name != "threshold.sig"},
    ):
        with pytest.raises(BundleError, match=r"not signed|signature is wrong"):
            archive.read(zip_files(wrong), KEY)


def test_a_malformed_signature_is_refused_even_without_a_key(files: dict[str, bytes]) -> None:
    for wrong in (b"", b"\xff" * 64, b"g" * 64, b"a" * 63):
        with pytest.raises(BundleError, match=r"manifest\.sig is not"):
            archive.read(zip_files({**with_signatures(files), "manifest.sig": wrong}))


def test_files_that_are_missing_or_unknown_are_named(files: dict[str, bytes]) -> None:
    for name in files:
        with pytest.raises(BundleError, match=f"{name} is missing"):
            archive.read(zip_files({other: content for other, content in files.items() if other != name}))
    for name in ("../manifest.json", "/etc/passwd", "model.pkl", "sub/"):
        with pytest.raises(BundleError, match=r"is unknown; allowed: manifest\.json"):
            archive.read(zip_files({**files, name: b""}))


def test_a_file_that_is_there_twice_is_refused(files: dict[str, bytes]) -> None:
    out = io.BytesIO(zip_files(files))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(out, "a") as file:
        file.writestr("manifest.json", b"{}")
    with pytest.raises(BundleError, match="is there twice"):
        archive.read(out.getvalue())


def test_a_threshold_of_another_bundle_is_refused(bundle: Bundle, files: dict[str, bytes]) -> None:
    other = threshold_of(bundle).model_copy(update={"bundle": "another"})
    with pytest.raises(BundleError, match="belongs to bundle another"):
        archive.read(zip_files({**files, "threshold.json": other.to_bytes()}))


def test_a_zip_bomb_is_refused_by_its_stated_and_by_its_real_size(files: dict[str, bytes]) -> None:
    bomb = zip_files({**files, "threshold.json": b" " * (archive.MAX_THRESHOLD_BYTES + 1)})
    assert len(bomb) < archive.MAX_THRESHOLD_BYTES
    with pytest.raises(BundleError, match=r"threshold\.json is too large"):
        archive.read(bomb)
    # The directory at the end says 100 bytes; the entry inflates to more.
    raw = bytearray(zip_files({**files, "threshold.json": b" " * 1_000_000}))
    size = (1_000_000).to_bytes(4, "little")
    raw[raw.rindex(size) : raw.rindex(size) + 4] = (100).to_bytes(4, "little")
    with pytest.raises(BundleError):
        archive.read(bytes(raw))


def test_a_damaged_archive_is_a_bundle_error_wherever_the_damage_is(files: dict[str, bytes]) -> None:
    raw = zip_files(files)
    intact = archive.read(raw)
    rng = np.random.default_rng(1)
    for place in rng.integers(0, len(raw), 300):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << int(rng.integers(8))
        try:
            assert archive.read(bytes(damaged)) == intact, "dates and attributes may change, the contents not"
        except BundleError:
            continue
    for size in range(0, len(raw), max(1, len(raw) // 100)):
        with pytest.raises(BundleError):
            archive.read(raw[:size])


def test_the_manifest_is_read_as_it_was_written(bundle: Bundle) -> None:
    assert Manifest.model_validate_json(bundle.manifest_bytes) == bundle.manifest
    assert replace(bundle).digest == bundle.digest
