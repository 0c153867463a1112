"""Digests, against one that a shell gives."""

from __future__ import annotations

from worker.core.model.digest import digest_of


def test_a_digest_is_half_of_the_sha256_in_base64url() -> None:
    # printf abc | sha256sum | cut -c 1-32 | xxd -r -p | base64 | tr '+/' '-_' | tr -d =
    assert digest_of(b"abc") == "ungWv48Bz-pBQUDeXa4iIw"
