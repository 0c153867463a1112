"""Names for immutable content: a bundle, a threshold or a snapshot is named by a digest of its bytes."""

from __future__ import annotations

import base64
import hashlib


def digest_of(raw: bytes) -> str:
    """The first 128 bits of the SHA-256 of `raw`, as 22 characters of unpadded base64url (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(hashlib.sha256(raw).digest()[:16]).decode().rstrip("=")
