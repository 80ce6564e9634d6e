"""The hash chain of digests. Pure."""

from __future__ import annotations

import hashlib

GENESIS = "0" * 64
"""``header.previous`` of the first digest."""


def digest_hash(body: bytes) -> str:
    """SHA-256 of a digest's exact bytes, 64 lower-case hex digits."""
    return hashlib.sha256(body).hexdigest()
