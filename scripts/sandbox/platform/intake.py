"""What the platform checks of a delivered digest. Pure; raises Problem or returns what to store."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from scripts.sandbox.platform import contract
from scripts.sandbox.platform.problems import Problem

GENESIS = "0" * 64
MAX_PERIOD = timedelta(days=366)
FUTURE_S = 600
"""How far a period may end in the future; a gateway stamps with a clock that it trusts."""


@dataclass(frozen=True, slots=True)
class Link:
    """The last place of a chain; ``seq`` 0 and the genesis hash before the first."""

    seq: int = 0
    hash: str = GENESIS

    def body(self) -> dict[str, Any]:
        """As the contract shows a head."""
        return {"seq": self.seq, "hash": self.hash if self.seq else None}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to store: the digest as accepted, or its tombstone with the problems that it has."""

    hash: str
    previous: str
    problems: list[dict[str, str]]

    @property
    def reason(self) -> str:
        """All problems on one line; empty when accepted."""
        return "; ".join(f"{each['path'] or '/'}: {each['message']}" for each in self.problems)


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The exact bytes that were signed, at most ``limit``. Raises Problem."""
    if encoding in ("", "identity"):
        plain = body
    elif encoding == "gzip":
        plain = _gunzip(body, limit)
    else:
        raise Problem("encoding", f"Content-Encoding {encoding[:40]!r} is not supported; use gzip")
    if len(plain) > limit:
        raise Problem("too-large", f"the body has more than {limit} bytes after decompression")
    return plain


def _gunzip(body: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        # One byte more than allowed tells a bomb from a large body without unpacking the bomb.
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise Problem("malformed", f"the body is no gzip: {error}") from error
    if len(plain) <= limit and (not inflater.eof or inflater.unused_data):
        raise Problem("malformed", "the gzip body is cut off or followed by something else")
    return plain


def parse_json(body: bytes) -> Any:
    """Strict JSON in UTF-8: no NaN, no member twice. Raises Problem ``malformed``."""
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_no_duplicates,
        )
    except (ValueError, RecursionError) as error:
        raise Problem("malformed", f"the body is no JSON: {str(error)[:200]}") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is beyond a float")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def examine(body: bytes, seq: int, head: Link, ids: Collection[str], now: float, stream: str = "") -> Verdict:
    """Check link and content of a correctly signed digest that was sent as number ``seq`` of ``stream``.

    ``ids``: what the gateway may call itself. ``stream``: of an audience, empty for the gateway's own.
    Raises Problem ``chain`` (nothing may be stored) when it does not continue the chain at ``head``; otherwise the
    verdict says whether it is accepted or rejected.
    """
    digest = _linked(body, seq, head)
    previous = digest["header"]["previous"]
    problems = contract.problems(contract.digest(), digest) or _sanity(digest["header"], ids, now, stream)
    return Verdict(hashlib.sha256(body).hexdigest(), previous, problems)


def _linked(body: bytes, seq: int, head: Link) -> dict[str, Any]:
    def broken(detail: str) -> Problem:
        return Problem("chain", detail, head=head.body(), stored=False)

    try:
        digest = parse_json(body)
    except Problem as error:
        raise broken(error.detail) from error
    header = digest.get("header") if isinstance(digest, dict) else None
    if not isinstance(header, dict):
        raise broken("there is no header, so the digest has no place in the chain")
    if type(header.get("seq")) is not int or header["seq"] != seq:
        raise broken(f"header.seq is not {seq}, as the address says")
    if seq != head.seq + 1:
        raise broken(f"the next digest of this chain is number {head.seq + 1}")
    if header.get("previous") != head.hash:
        raise broken(f"header.previous is not the hash of digest {head.seq}")
    return {**digest, "header": header}


def _sanity(header: dict[str, Any], ids: Collection[str], now: float, stream: str) -> list[dict[str, str]]:
    """What no schema can say: whose digest it is, for whom, and whether its period can be."""
    found = []
    if header.get("audience", stream) != stream:  # one that does not say whom it is for may be for anybody
        meant = f"audience {stream!r}" if stream else "the gateway's own platform"
        found.append({"path": "/header/audience", "message": f"this chain is for {meant}, the digest is not"})
    if header["gateway"] not in ids:
        found.append({"path": "/header/gateway", "message": "the digest is about another gateway"})
    start, end = (_utc(header["period"][name]) for name in ("start", "end"))
    if start is None or end is None:
        found.append({"path": "/header/period", "message": "start and end must be UTC times in ISO 8601 with Z"})
    elif not start < end:
        found.append({"path": "/header/period", "message": "the period does not end after its start"})
    elif end - start > MAX_PERIOD:
        found.append({"path": "/header/period", "message": f"the period is longer than {MAX_PERIOD.days} days"})
    elif end.timestamp() > now + FUTURE_S:
        found.append({"path": "/header/period", "message": "the period ends in the future"})
    return found


def _utc(text: str) -> datetime | None:
    if not text.endswith("Z"):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
