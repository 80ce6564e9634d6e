"""Administrators and their bundles, signed with nothing of the agent's own code but the key format."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import OKPKey

from agent.config.model import Chain, EnterpriseSection
from agent.control.bundle import Bundle, verify
from agent.control.reasons import Refusal
from agent.control.trust import Trust, read_trust

GATEWAY = "gw-0123456789abcdef"
NOW_US = 1_790_000_000_000_000
CONFIG = '[digest]\nperiod = "15m"\n'
ENTERPRISE = EnterpriseSection(
    district="310109",
    town="Quyang",
    park="hongkou-01",
    chains=(Chain(name="auto-parts"), Chain(name="machine-tools")),
)


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


@dataclass
class Signer:
    """An administrator with a key."""

    name: str = ""
    key: OKPKey = field(default_factory=lambda: OKPKey.generate_key("Ed25519"))

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint."""
        return self.key.thumbprint()

    def jwk(self) -> dict[str, Any]:
        """The public key, as a trust file holds it."""
        return {**self.key.as_dict(private=False), **({"name": self.name} if self.name else {})}

    def signature(self, payload: str, **header: Any) -> dict[str, Any]:
        """One entry of ``signatures`` over a payload in base64url; ``header``: more for the protected header."""
        protected = b64(json.dumps({"alg": "EdDSA", "kid": self.kid, **header}).encode())
        signed = self.key.private_key.sign(f"{protected}.{payload}".encode())
        return {"protected": protected, "signature": b64(signed)}


def claims(**changes: Any) -> dict[str, Any]:
    """A sound payload; None removes a member."""
    value = {
        "gateway_id": GATEWAY,
        "revision": 7,
        "issued_at": "2026-09-21T08:00:00Z",
        "expires_at": "2026-10-21T08:00:00Z",
        "config": CONFIG,
        **changes,
    }
    return {name: each for name, each in value.items() if each is not None}


def signed(*signers: Signer, payload: Any = None, **changes: Any) -> bytes:
    """A bundle that these have signed. ``payload``: bytes instead of the claims; ``changes``: see claims."""
    body = payload if isinstance(payload, bytes) else json.dumps(claims(**changes)).encode()
    return envelope(body, [each.signature(b64(body)) for each in signers])


def envelope(body: bytes, signatures: list[Any]) -> bytes:
    """General JSON form."""
    return json.dumps({"payload": b64(body), "signatures": signatures}).encode()


def trusting(*signers: Signer, threshold: int = 1) -> Trust:
    """A trust list."""
    return read_trust({"keys": [each.jwk() for each in signers], "threshold": threshold})


def judged(data: bytes, trust: Trust, **options: Any) -> Bundle | Refusal:
    """:func:`verify` for the gateway of these tests, whose clock is trusted and which runs revision 6."""
    given = {"now_us": NOW_US, "newest": 6, **options}
    return verify(data, trust, given.pop("gateway_id", GATEWAY), given.pop("enterprise", ENTERPRISE), **given)


def code(found: object) -> str:
    """The code of a refusal; empty for anything that was taken."""
    return found.code if isinstance(found, Refusal) else ""
