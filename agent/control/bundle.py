"""A configuration bundle: JWS in general JSON form (RFC 7515, 7.2.1), signed by administrators. Pure.

:func:`verify` makes the checks that need nothing but the bundle, in a fixed order, and names the first
that fails; what its TOML says is judged by :mod:`agent.control.content`. No key, algorithm or extension
that a header names is ever used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from agent.config.model import EnterpriseSection
from agent.control.reasons import HELD, Refusal
from agent.control.selector import read_selector, selects, show_target
from agent.control.strict import read_base64url, read_json
from agent.control.trust import Admin, Trust, read_trust
from agent.evidence.algorithm import ALGORITHM

ALGORITHMS = (ALGORITHM, "Ed25519")
"""The contract's name, and the fully specified one of RFC 9864 for the same thing."""
LARGEST_BUNDLE = 1_000_000
"""Bytes; no more than the transport takes in an answer."""
MOST_SIGNATURES = 32
LARGEST_REVISION = 999_999_999_999_999

_REQUIRED = frozenset({"revision", "issued_at", "expires_at", "config"})
_MEMBERS = _REQUIRED | {"gateway_id", "selector", "trust"}
_GATEWAY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What the administrators signed; times in UTC microseconds."""

    gateway_id: str
    """Empty: for all that ``selector`` matches."""
    selector: Mapping[str, str]
    revision: int
    issued_us: int
    expires_us: int
    config: str
    """TOML text: the whole desired overlay."""
    trust: Mapping[str, Any] | None = None
    """A new trust list (JWKS), laid over the local one."""

    @property
    def target(self) -> str:
        """Whom it is for, for a person."""
        return show_target(self.gateway_id, self.selector)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature; ``header`` is its protected header."""

    protected: str
    header: Mapping[str, Any]
    signature: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """A well-formed bundle that nobody has verified yet."""

    text: str
    """The payload in base64url, as it was signed."""
    payload: Payload
    sha256: str
    """Of the payload's bytes: names what was signed, whoever has signed it."""
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle, for this gateway and newer than any before."""

    payload: Payload
    sha256: str
    signers: tuple[Admin, ...]


def verify(
    data: bytes,
    trust: Trust,
    gateway_id: str,
    enterprise: EnterpriseSection,
    *,
    now_us: int | None,
    newest: int,
) -> Bundle | Refusal:
    """The bundle in ``data``, or why it is not taken.

    ``now_us``: UTC microseconds, None while the clock is not trusted. ``newest``: the highest revision
    that was ever taken, 0: none.
    """
    try:
        envelope = read_envelope(data)
    except ValueError as error:
        return Refusal("malformed", str(error), "sign it again: gongfu-edge admin sign")
    payload = envelope.payload
    signers = signed_by(envelope, trust)
    if not trust.admins or len(signers) < trust.threshold:
        return _not_trusted(envelope, signers, trust)
    if not (payload.gateway_id == gateway_id if payload.gateway_id else selects(payload.selector, enterprise)):
        return Refusal("not_addressed", f"it is for {payload.target}, this is {gateway_id}")
    if now_us is None:
        expiry = show_time(payload.expires_us)
        return Refusal(HELD, f"it expires at {expiry}, and this gateway does not know the time yet")
    if now_us >= payload.expires_us:
        return Refusal(
            "expired", f"revision {payload.revision} expired at {show_time(payload.expires_us)}", "sign anew"
        )
    if payload.revision <= newest:
        text = f"revision {payload.revision} is not newer than {newest}"
        return Refusal("not_newer", text, f"sign it with a revision above {newest}")
    return Bundle(payload, envelope.sha256, signers)


def _not_trusted(envelope: Envelope, signers: tuple[Admin, ...], trust: Trust) -> Refusal:
    if not trust.admins:
        text, remedy = "this gateway trusts no administrator", "put their JWKS where [remote] trust_file says"
        return Refusal("not_trusted", text, remedy)
    wrong = {str(each.header.get("alg"))[:20] for each in envelope.signatures} - set(ALGORITHMS)
    by = ", ".join(each.shown for each in signers) or "none of the pinned administrators"
    text = f"{len(signers)} of {trust.threshold} signatures needed, signed by {by}"
    if wrong:
        text += f"; alg {', '.join(sorted(wrong))} is not accepted"
    return Refusal("not_trusted", text, "let further administrators sign: gongfu-edge admin sign --add")


def signed_by(envelope: Envelope, trust: Trust) -> tuple[Admin, ...]:
    """The administrators whose signatures hold, each once, in the order of the trust list."""
    kids = set()
    for signature in envelope.signatures:
        if signature.header.get("alg") not in ALGORITHMS:
            continue
        compact = f"{signature.protected}.{envelope.text}.{signature.signature}"
        kid = signature.header.get("kid", "")
        for admin in trust.by_kid(kid) if isinstance(kid, str) else ():
            if admin.kid not in kids and _holds(compact, admin):
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
    registry.max_payload_length = 2 * LARGEST_BUNDLE  # the library's own limit is that of a token
    return registry


def read_envelope(data: bytes) -> Envelope:
    """A bundle's parts, unverified. Raises ValueError with what is malformed."""
    if len(data) > LARGEST_BUNDLE:
        raise ValueError(f"it has more than {LARGEST_BUNDLE} bytes")
    value = _named("the bundle", read_json, data)
    if not isinstance(value, dict) or value.keys() != {"payload", "signatures"}:
        raise ValueError("it is no JWS in general JSON form: an object with payload and signatures")
    body = _named("payload", read_base64url, value["payload"])
    signatures = value["signatures"]
    if not isinstance(signatures, list) or not 0 < len(signatures) <= MOST_SIGNATURES:
        raise ValueError(f"signatures must be a list of 1 to {MOST_SIGNATURES}")
    parts = tuple(_read_signature(each, position) for position, each in enumerate(signatures))
    payload = read_payload(_named("payload", read_json, body))
    return Envelope(value["payload"], payload, sha256(body).hexdigest(), parts)


def _read_signature(value: Any, position: int) -> Signature:
    where = f"signatures[{position}]"
    if not isinstance(value, dict) or not {"protected", "signature"} <= value.keys() <= _SIGNATURE:
        raise ValueError(f"{where} must have protected and signature")
    header = _named(f"{where}.protected", read_json, _named(f"{where}.protected", read_base64url, value["protected"]))
    _named(f"{where}.signature", read_base64url, value["signature"])
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


def read_payload(value: Any) -> Payload:
    """What was signed, from its JSON value. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("the payload is no object")
    unknown, lacking = value.keys() - _MEMBERS, _REQUIRED - value.keys()
    if unknown or lacking:
        what = f"has a member {min(unknown)[:40]!r}" if unknown else f"has no {min(lacking)}"
        raise ValueError(f"the payload {what}")
    if ("gateway_id" in value) == ("selector" in value):
        raise ValueError("the payload must have either gateway_id or selector")
    gateway_id = value.get("gateway_id", "")
    if "gateway_id" in value and not (isinstance(gateway_id, str) and _GATEWAY_ID.fullmatch(gateway_id)):
        raise ValueError("gateway_id is none")
    revision, config, trust = value["revision"], value["config"], value.get("trust")
    if type(revision) is not int or not 1 <= revision <= LARGEST_REVISION:
        raise ValueError(f"revision must be a whole number from 1 to {LARGEST_REVISION}")
    if not isinstance(config, str):
        raise ValueError("config must be text")
    if "trust" in value:
        _named("trust", _read_new_trust, trust)
    issued, expires = (_named(name, read_time, value[name]) for name in ("issued_at", "expires_at"))
    if expires <= issued:
        raise ValueError("expires_at is not after issued_at")
    return Payload(
        gateway_id=gateway_id,
        selector=read_selector(value["selector"]) if "selector" in value else {},
        revision=revision,
        issued_us=issued,
        expires_us=expires,
        config=config,
        trust=trust,
    )


def _read_new_trust(value: Any) -> None:
    if not read_trust(value).admins:
        raise ValueError("names nobody; a gateway without administrators could never be reached again")


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


def _named(what: str, read: Any, value: Any) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{what} {error}") from None
