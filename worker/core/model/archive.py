"""A bundle with its threshold as one file: a zip of manifest.json, weights.safetensors, threshold.json and, where
they are signed, manifest.sig and threshold.sig. The same content gives the same bytes. Opening one only reads.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from dataclasses import dataclass

from pydantic import ValidationError

from worker.core.model.bundle import MAX_BYTES, Bundle, BundleError, unpack, verify
from worker.core.model.threshold import Threshold

MAX_THRESHOLD_BYTES = 4_000_000
_SIGNATURE_BYTES = 64
_MOST = {
    "manifest.json": MAX_BYTES,
    "weights.safetensors": MAX_BYTES,
    "threshold.json": MAX_THRESHOLD_BYTES,
    "manifest.sig": _SIGNATURE_BYTES,
    "threshold.sig": _SIGNATURE_BYTES,
}
_REQUIRED = ("manifest.json", "weights.safetensors", "threshold.json")
MAX_ARCHIVE_BYTES = MAX_BYTES + MAX_THRESHOLD_BYTES + 1_000_000


@dataclass(frozen=True, slots=True)
class Archive:
    """Signatures as they are stored, HMAC-SHA256 in hex; None where a part is not signed."""

    bundle: Bundle
    threshold: Threshold
    bundle_signature: str | None = None
    threshold_signature: str | None = None


def write(archive: Archive) -> bytes:
    parts = {
        "manifest.json": archive.bundle.manifest_bytes,
        "weights.safetensors": archive.bundle.weights,
        "threshold.json": archive.threshold.to_bytes(),
    }
    if archive.bundle_signature is not None:
        parts["manifest.sig"] = archive.bundle_signature.encode("ascii")
    if archive.threshold_signature is not None:
        parts["threshold.sig"] = archive.threshold_signature.encode("ascii")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name)  # dated 1980, so that the bytes depend on the content alone
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content)
    return out.getvalue()


def read(raw: bytes, key: bytes | None = None) -> Archive:
    """Check and open. Raises BundleError with the reason: damaged, too large, of another format, not signed by
    `key`, or parts that do not belong together.
    """
    if len(raw) > MAX_ARCHIVE_BYTES:
        raise BundleError(f"larger than {MAX_ARCHIVE_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as file:
            parts = _parts(file)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        raise BundleError(f"not a readable zip file: {error}") from error
    bundle = unpack(parts["manifest.json"], parts["weights.safetensors"])
    threshold = _threshold(parts["threshold.json"])
    if threshold.bundle != bundle.digest:
        raise BundleError(f"the threshold belongs to bundle {threshold.bundle}, not to {bundle.digest}")
    signatures = [_signature(name, parts.get(name)) for name in ("manifest.sig", "threshold.sig")]
    for name, signature in zip(("manifest.json", "threshold.json"), signatures, strict=True):
        refusal = verify(parts[name], signature, key)
        if refusal is not None:
            raise BundleError(f"{name}: {refusal}")
    return Archive(bundle, threshold, *signatures)


def _parts(file: zipfile.ZipFile) -> dict[str, bytes]:
    """By name; what an entry says of its size is checked before it is read, and is all that is read of it."""
    parts: dict[str, bytes] = {}
    total = 0
    for entry in file.infolist():
        most = _MOST.get(entry.filename)
        if most is None or entry.filename in parts:
            wrong = "unknown" if most is None else "there twice"
            raise BundleError(f"{entry.filename[:100]!r} is {wrong}; allowed: {', '.join(_MOST)}, once each")
        total += entry.file_size
        if entry.file_size > most or total > MAX_ARCHIVE_BYTES:
            raise BundleError(f"{entry.filename} is too large: {entry.file_size} bytes; allowed: {most}")
        with file.open(entry) as content:
            parts[entry.filename] = content.read(entry.file_size + 1)
        if len(parts[entry.filename]) != entry.file_size:
            raise BundleError(f"{entry.filename} has not the size that the archive states")
    missing = [name for name in _REQUIRED if name not in parts]
    if missing:
        raise BundleError(f"{missing[0]} is missing")
    return parts


def _threshold(raw: bytes) -> Threshold:
    try:
        threshold = Threshold.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(f"threshold.json: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if threshold.to_bytes() != raw:
        raise BundleError("threshold.json is not in its canonical form")
    return threshold


def _signature(name: str, raw: bytes | None) -> str | None:
    if raw is None:
        return None
    if not re.fullmatch(rb"[0-9a-f]{64}", raw):
        raise BundleError(f"{name} is not an HMAC-SHA256 in hex")
    return raw.decode("ascii")
