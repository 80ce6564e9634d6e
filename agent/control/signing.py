"""Making a bundle, and adding a signature to one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agent.control.admin_key import AdminKey
from agent.control.bundle import Payload, read_envelope
from agent.control.envelope import Envelope, show_time
from agent.control.strict import read_base64url, write_base64url
from agent.errors import GongfuError


def make_bundle(
    signers: Sequence[AdminKey],
    *,
    gateway_id: str = "",
    selector: Mapping[str, str] | None = None,
    revision: int,
    issued_us: int,
    expires_us: int,
    config: str,
    trust: Mapping[str, Any] | None = None,
) -> bytes:
    """A signed bundle. Raises GongfuError when a gateway would call it malformed."""
    claims: dict[str, Any] = {"gateway_id": gateway_id} if gateway_id else {"selector": dict(selector or {})}
    claims |= {
        "revision": revision,
        "issued_at": show_time(issued_us),
        "expires_at": show_time(expires_us),
        "config": config,
    }
    if trust is not None:
        claims["trust"] = dict(trust)
    payload = msgspec.json.encode(claims)
    return _checked(write_base64url(payload), [each.sign(payload) for each in signers])


def add_signature(data: bytes, signer: AdminKey) -> bytes:
    """The same bundle with one signature more; one that the same key made before is replaced."""
    envelope = open_bundle(data)
    value = json.loads(data)
    kept = [
        entry
        for entry, known in zip(value["signatures"], envelope.signatures, strict=True)
        if known.header.get("kid") != signer.kid
    ]
    return _checked(envelope.text, [*kept, signer.sign(payload_of(envelope))])


def open_bundle(data: bytes, name: str = "the bundle") -> Envelope[Payload]:
    """A bundle's parts, unverified. Raises GongfuError."""
    try:
        return read_envelope(data)
    except ValueError as error:
        raise GongfuError(f"{name} is malformed: {error}", remedy="name a file that admin sign wrote") from error


def payload_of(envelope: Envelope[Any]) -> bytes:
    """The exact bytes that were signed."""

    return read_base64url(envelope.text)


def _checked(payload: str, signatures: Sequence[Mapping[str, str]]) -> bytes:
    data = msgspec.json.encode({"payload": payload, "signatures": list(signatures)})
    try:
        read_envelope(data)
    except ValueError as error:
        raise GongfuError(
            f"no gateway would take this bundle: {error}", remedy="mend what it says, or split it"
        ) from error
    return data
