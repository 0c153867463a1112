"""Archives: a bundle and its threshold as one file.

An archive is a zip file of manifest.json, weights.safetensors, threshold.json and, if they are signed, manifest.sig and
threshold.sig. The same content gives the same bytes. Reading one runs no code from it and writes no files.
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
_MOST_BYTES = {
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
    """The signatures are those that are stored: HMAC-SHA256 in hex, None for a file that is not signed."""

    bundle: Bundle
    threshold: Threshold
    bundle_signature: str | None = None
    threshold_signature: str | None = None


def write(archive: Archive) -> bytes:
    """The archive as a zip file."""
    files = {
        "manifest.json": archive.bundle.manifest_bytes,
        "weights.safetensors": archive.bundle.weights,
        "threshold.json": archive.threshold.to_bytes(),
    }
    if archive.bundle_signature is not None:
        files["manifest.sig"] = archive.bundle_signature.encode("ascii")
    if archive.threshold_signature is not None:
        files["threshold.sig"] = archive.threshold_signature.encode("ascii")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)  # its date is always 1980, so the bytes depend on the content alone
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content)
    return out.getvalue()


def read(raw: bytes, key: bytes | None = None) -> Archive:
    """Open a zip file and check all of it; with a `key`, also the signatures.

    Raises BundleError with the reason: the file is damaged, too large, of another format or not signed by the key, or
    its threshold belongs to another bundle.
    """
    if len(raw) > MAX_ARCHIVE_BYTES:
        raise BundleError(f"larger than {MAX_ARCHIVE_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as file:
            files = _read_files(file)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
        raise BundleError(f"not a readable zip file: {error}") from error
    bundle = unpack(files["manifest.json"], files["weights.safetensors"])
    threshold = _parse_threshold(files["threshold.json"])
    if threshold.bundle != bundle.digest:
        raise BundleError(f"the threshold belongs to bundle {threshold.bundle}, not to {bundle.digest}")
    signatures = [_parse_signature(name, files.get(name)) for name in ("manifest.sig", "threshold.sig")]
    for name, signature in zip(("manifest.json", "threshold.json"), signatures, strict=True):
        refusal = verify(files[name], signature, key)
        if refusal is not None:
            raise BundleError(f"{name}: {refusal}")
    return Archive(bundle, threshold, *signatures)


def _read_files(file: zipfile.ZipFile) -> dict[str, bytes]:
    """The contents by name. An entry's stated size is checked before it is read, and no more than that is inflated."""
    files: dict[str, bytes] = {}
    total = 0
    for entry in file.infolist():
        most = _MOST_BYTES.get(entry.filename)
        if most is None or entry.filename in files:
            wrong = "unknown" if most is None else "there twice"
            raise BundleError(f"{entry.filename[:100]!r} is {wrong}; allowed: {', '.join(_MOST_BYTES)}, once each")
        total += entry.file_size
        if entry.file_size > most or total > MAX_ARCHIVE_BYTES:
            raise BundleError(f"{entry.filename} is too large: {entry.file_size} bytes; allowed: {most}")
        with file.open(entry) as content:
            files[entry.filename] = content.read(entry.file_size + 1)
        if len(files[entry.filename]) != entry.file_size:
            raise BundleError(f"{entry.filename} does not have the size that the archive states")
    missing = [name for name in _REQUIRED if name not in files]
    if missing:
        raise BundleError(f"{missing[0]} is missing")
    return files


def _parse_threshold(raw: bytes) -> Threshold:
    try:
        threshold = Threshold.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(f"threshold.json: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if threshold.to_bytes() != raw:
        raise BundleError("threshold.json is not in its canonical form")
    return threshold


def _parse_signature(name: str, raw: bytes | None) -> str | None:
    if raw is None:
        return None
    if not re.fullmatch(rb"[0-9a-f]{64}", raw):
        raise BundleError(f"{name} is not an HMAC-SHA256 in hex")
    return raw.decode("ascii")
