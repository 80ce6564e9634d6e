"""What a gateway's key signed: bearer tokens and detached signatures. Pure; raises Problem."""

from __future__ import annotations

import binascii
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from agent.evidence.algorithm import ALGORITHM
from scripts.sandbox.platform.problems import Problem

ALGORITHMS = (ALGORITHM, "Ed25519")
"""The name that the agent uses, and the fully specified one of RFC 9864 for the same thing."""
PROOF = "gongfu-enrolment"
"""``typ`` of the proof that an enrolment holds."""
MAX_LIFETIME_S = 300
LEEWAY_S = 30


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A verified bearer token; ``expires`` in UTC seconds."""

    jti: str
    expires: float


def import_public_key(jwk: dict[str, Any]) -> OKPKey:
    """An Ed25519 public key; only ``kty``, ``crv`` and ``x`` are taken. Raises Problem."""
    try:
        return OKPKey.import_key({name: jwk[name] for name in ("kty", "crv", "x")})
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise Problem("schema", f"public_key is no Ed25519 public key: {error}") from error


def own_id(thumbprint: str) -> str:
    """The id a gateway calls itself before enrolment, from its key's thumbprint (base64url)."""
    return "gw-" + urlsafe_b64decode(thumbprint.encode("ascii")).hex()[:16]


def check_token(token: str, key: OKPKey, subject: str, audience: str, now: float) -> BearerToken:
    """Verify a bearer token (see the contract's security schemes). ``now`` in UTC seconds. Raises Problem 401."""
    if len(token) > 4096:
        raise _refused("the token is too long")
    try:
        payload = _verified(token, key, None)
        claims = json.loads(payload)
    except (_NotVerified, ValueError, RecursionError) as error:
        raise _refused(str(error) or "the token cannot be read") from error
    if not isinstance(claims, dict):
        raise _refused("the token holds no claims")
    for name in ("iss", "sub"):
        if claims.get(name) != subject:
            raise _refused(f"{name} is not {subject}")
    aud = claims.get("aud")
    if not any(_same_url(each, audience) for each in (aud if isinstance(aud, list) else [aud])):
        raise _refused(f"aud is not {audience}")
    expires = _numeric_date(claims, "exp")
    if expires <= now - LEEWAY_S:
        raise _refused("the token has expired; compare the clock with this answer's Date")
    if expires > now + MAX_LIFETIME_S + LEEWAY_S:
        raise _refused("exp is more than 5 minutes ahead; compare the clock with this answer's Date")
    if "nbf" in claims and _numeric_date(claims, "nbf") > now + LEEWAY_S:
        raise _refused("the token is not valid yet; compare the clock with this answer's Date")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 128 or not jti.isascii():
        raise _refused("jti is missing or not of at most 128 ASCII characters")
    return BearerToken(jti, expires + LEEWAY_S)


def check_proof(request: dict[str, Any], key: OKPKey) -> None:
    """Verify that an enrolment was made by whoever has ``key``, for this token and these keys. Raises Problem 403.

    Its time is not compared: a gateway that enrols may not know it. The token makes it worth nothing elsewhere.
    """
    proof = request["proof"]
    try:
        header = _protected_header(proof)
        claims = json.loads(_verified(proof, key, None))
    except (_NotVerified, ValueError, RecursionError) as error:
        raise Problem("token-refused", f"proof: {error}") from error
    token = hashlib.sha256(request["token"].encode("utf-8", "replace")).hexdigest()
    told = claims if isinstance(claims, dict) and header.get("typ") == PROOF else {}
    same = all(told.get(name) == request.get(name) for name in ("public_key", "encryption_key"))
    if told.get("token_hash") != token or not same or type(told.get("time")) is not int:
        raise Problem("token-refused", "proof is about another token or other keys")


def key_id(token: str) -> str:
    """The ``kid`` that a token claims; nothing is verified. Raises Problem 401."""
    try:
        return str(_protected_header(token[:4096]).get("kid", ""))
    except _NotVerified as error:
        raise _refused(str(error)) from error


def check_detached(signature: str, body: bytes, key: OKPKey) -> None:
    """Verify a detached JWS in compact form over ``body``. Raises Problem ``signature``."""
    parts = signature.split(".")
    if len(signature) > 2048 or len(parts) != 3 or parts[1] != "" or not body:
        raise Problem("signature", "Digest-Signature is no detached JWS in compact form")
    try:
        _verified(signature, key, body)
    except _NotVerified as error:
        raise Problem("signature", str(error)) from error


class _NotVerified(Exception):
    """The JWS is unreadable, of another key, or says other bytes."""


def _verified(compact: str, key: OKPKey, detached: bytes | None) -> bytes:
    header = _protected_header(compact)
    if header.get("alg") not in ALGORITHMS:
        raise _NotVerified(f"alg must be {ALGORITHMS[0]}")
    if "crit" in header or "b64" in header:
        raise _NotVerified("no extension of JWS is accepted")
    if header.get("kid") not in (None, key.thumbprint()):
        raise _NotVerified("kid names another key")
    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    try:
        verified = jws.deserialize_compact(compact, key, registry=registry, payload=detached)
    except (JoseError, ValueError, TypeError) as error:
        raise _NotVerified("the signature is not by this gateway's key over these bytes") from error
    return verified.payload


def _protected_header(compact: str) -> dict[str, Any]:
    try:
        header = json.loads(urlsafe_b64decode(compact.split(".")[0].encode("ascii")))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _NotVerified("the signature's header cannot be read") from error
    if not isinstance(header, dict):
        raise _NotVerified("the signature's header is no object")
    return header


def _numeric_date(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e12 or not math.isfinite(value):
        raise _refused(f"{name} is missing or no time")
    return float(value)


def _same_url(one: object, other: str) -> bool:
    return isinstance(one, str) and one.rstrip("/") == other.rstrip("/")


def _refused(detail: str) -> Problem:
    return Problem("unauthenticated", detail)
