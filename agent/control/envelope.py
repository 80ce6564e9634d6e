"""What administrators sign: JWS in general JSON form (RFC 7515, 7.2.1), whatever it carries. Pure.

No key, algorithm or extension that a header names is ever used. ``typ`` keeps kinds apart (RFC 8725, 3.11):
what was signed as one kind never counts as another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any, Generic, TypeVar

from joserfc import jws
from joserfc.errors import JoseError

from agent.control.reasons import Refusal
from agent.control.strict import read_base64url, read_json
from agent.control.trust import Admin, Trust
from agent.evidence.algorithm import ALGORITHM

P = TypeVar("P")

ALGORITHMS = (ALGORITHM, "Ed25519")
"""The contract's name, and the fully specified one of RFC 9864 for the same thing."""
LARGEST = 1_000_000
"""Bytes; no more than the transport takes in an answer."""
MOST_SIGNATURES = 32
MOST_TRIED = 64
"""Signatures that are held against a key, of one document: each costs as much as the document is long."""
UNTYPED = ("", "JOSE", "JOSE+JSON")
"""``typ`` of a configuration bundle: none, or that it is a JWS."""

GATEWAY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature; ``header`` is its protected header."""

    protected: str
    header: Mapping[str, Any]
    signature: str


@dataclass(frozen=True, slots=True)
class Envelope(Generic[P]):
    """Well-formed, and verified by nobody yet."""

    text: str
    """The payload in base64url, as it was signed."""
    payload: P
    sha256: str
    """Of the payload's bytes: names what was signed, whoever has signed it."""
    signatures: tuple[Signature, ...]


def open_envelope(data: bytes, what: str, read_payload: Callable[[Any], P], largest: int = LARGEST) -> Envelope[P]:
    """The parts, unverified; ``what``: as errors call it. Raises ValueError with what is malformed."""
    if len(data) > largest:
        raise ValueError(f"it has more than {largest} bytes")
    value = named(what, read_json, data)
    if not isinstance(value, dict) or value.keys() != {"payload", "signatures"}:
        raise ValueError("it is no JWS in general JSON form: an object with payload and signatures")
    body = named("payload", read_base64url, value["payload"])
    signatures = value["signatures"]
    if not isinstance(signatures, list) or not 0 < len(signatures) <= MOST_SIGNATURES:
        raise ValueError(f"signatures must be a list of 1 to {MOST_SIGNATURES}")
    parts = tuple(_read_signature(each, position) for position, each in enumerate(signatures))
    payload = read_payload(named("payload", read_json, body))
    return Envelope(value["payload"], payload, sha256(body).hexdigest(), parts)


def _read_signature(value: Any, position: int) -> Signature:
    where = f"signatures[{position}]"
    if not isinstance(value, dict) or not {"protected", "signature"} <= value.keys() <= _SIGNATURE:
        raise ValueError(f"{where} must have protected and signature")
    header = named(f"{where}.protected", read_json, named(f"{where}.protected", read_base64url, value["protected"]))
    named(f"{where}.signature", read_base64url, value["signature"])
    unprotected = value.get("header", {})
    if not isinstance(header, dict) or not isinstance(unprotected, dict) or not isinstance(header.get("alg"), str):
        raise ValueError(f"{where}: the protected header must be an object with alg")
    for name in ("crit", "b64"):
        if name in header or name in unprotected:
            raise ValueError(f"{where} uses the extension {name}, which is not accepted")
    if unprotected.keys() - {"kid"} or unprotected.keys() & header.keys():
        raise ValueError(f"{where}: nothing but kid may stand outside of the protected header")
    return Signature(value["protected"], {**unprotected, **header}, value["signature"])


_SIGNATURE = frozenset({"protected", "signature", "header"})


def signed_by(envelope: Envelope[Any], trust: Trust, types: tuple[str, ...] = UNTYPED) -> tuple[Admin, ...]:
    """The administrators whose signatures hold, each once, in the order of the trust list.

    ``types``: what ``typ`` of a signature that counts may say.
    """
    kids: set[str] = set()
    tried = 0
    for signature in envelope.signatures:
        if signature.header.get("alg") not in ALGORITHMS or signature.header.get("typ", "") not in types:
            continue
        compact = f"{signature.protected}.{envelope.text}.{signature.signature}"
        kid = signature.header.get("kid", "")
        for admin in trust.by_kid(kid) if isinstance(kid, str) else ():
            if admin.kid in kids:
                continue
            if tried == MOST_TRIED:
                break
            tried += 1
            if _holds(compact, admin):
                kids.add(admin.kid)
                break
    return tuple(each for each in trust.admins if each.kid in kids)


def _holds(compact: str, admin: Admin) -> bool:
    try:
        jws.deserialize_compact(compact, admin.key, registry=_registry())
    except (JoseError, ValueError, TypeError):
        return False
    return True


@cache
def _registry() -> jws.JWSRegistry:
    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    registry.max_payload_length = 2 * LARGEST  # the library's own limit is that of a token
    return registry


def not_trusted(envelope: Envelope[Any], signers: tuple[Admin, ...], trust: Trust, command: str) -> Refusal:
    """Why it is not taken when too few signatures hold; ``command``: adds one."""
    if not trust.admins:
        text, remedy = "this gateway trusts no administrator", "put their JWKS where [remote] trust_file says"
        return Refusal("not_trusted", text, remedy)
    wrong = {str(each.header.get("alg"))[:20] for each in envelope.signatures} - set(ALGORITHMS)
    by = ", ".join(each.shown for each in signers) or "none of the pinned administrators"
    text = f"{len(signers)} of {trust.threshold} signatures needed, signed by {by}"
    if wrong:
        text += f"; alg {', '.join(sorted(wrong))} is not accepted"
    return Refusal("not_trusted", text, f"let further administrators sign: {command}")


def read_time(text: Any) -> int:
    """UTC microseconds of an RFC 3339 time with its offset. Raises ValueError."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise ValueError("is no time such as 2026-11-23T08:00:00Z")
    try:
        return (datetime.fromisoformat(text.upper()) - _EPOCH) // timedelta(microseconds=1)
    except OverflowError:
        raise ValueError("is beyond every calendar") from None


def show_time(time_us: int) -> str:
    """A UTC time to the second, as RFC 3339 has it."""
    return (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%dT%H:%M:%SZ")


def named(what: str, read: Any, value: Any) -> Any:
    """``read(value)``, with the name in front of what is wrong. Raises ValueError."""
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{what} {error}") from None
