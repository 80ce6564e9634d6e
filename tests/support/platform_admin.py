"""An administrator of the reference platform, independent of the agent's own commands."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

from joserfc import jwt

from agent.evidence.files import write_atomically
from tests.support.control_bundles import Signer, signed
from tests.support.platform_gateway import Answer, FakeGateway

ALWAYS = {"issued_at": "2020-01-01T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z"}


def pin(folder: Path, *admins: Signer, threshold: int = 1) -> None:
    """Make these the administrators of the platform whose data is in ``folder``."""
    jwks = {"keys": [each.jwk() for each in admins], "threshold": threshold}
    write_atomically(folder / "admins.jwks", json.dumps(jwks).encode())  # a platform that runs reads it at any time


def lasting(*signers: Signer, **changes: Any) -> bytes:
    """A bundle that does not expire."""
    return signed(*signers, **{**ALWAYS, **changes})


class FakeAdmin:
    """A signer who talks to the platform that ``via`` talks to."""

    def __init__(self, via: FakeGateway, signer: Signer) -> None:
        self.via = via
        self.signer = signer

    def token(self, **changes: Any) -> str:
        """A bearer token; ``changes`` replace claims."""
        kid = self.signer.kid
        claims = {
            "iss": kid, "sub": kid, "aud": self.via.running.url, "exp": int(time.time()) + 240,
            "jti": uuid.uuid4().hex, **changes,
        }  # fmt: skip
        return jwt.encode({"alg": "EdDSA", "kid": kid}, claims, self.signer.key, algorithms=["EdDSA"])

    def authorized(self, **changes: Any) -> dict[str, str]:
        """Headers with a bearer token."""
        return {"Authorization": f"Bearer {self.token(**changes)}"}

    async def post(self, bundle: bytes, query: str = "") -> Answer:
        """Hand a bundle in."""
        headers = {"Content-Type": "application/jose+json"}
        return await self.via.request("POST", f"/bundles{query}", data=bundle, headers=headers)

    async def offer(self, hash_: str, wanted: Any) -> Answer:
        """Offer a bundle to more gateways."""
        return await self.via.request("PUT", f"/bundles/{hash_}/offer", json=wanted, headers=self.authorized())

    async def fleet(self, query: str = "") -> Any:
        """The gateways of one page."""
        answer = await self.via.request("GET", f"/fleet{query}", headers=self.authorized())
        assert answer.status == 200
        return answer.json
