"""What the platform reads of a bundle: whom it is for and who signed it. Pure; raises Problem.

Written against the contract and apart from the gateway's own reader, which trusts the platform in none of this.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from scripts.sandbox.platform import contract, jose
from scripts.sandbox.platform.intake import parse_json
from scripts.sandbox.platform.problems import Problem


@dataclass(frozen=True, slots=True)
class Admins:
    """The administrators whom the platform knows: keys and names by thumbprint."""

    keys: Mapping[str, OKPKey] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    threshold: int = 1

    @classmethod
    def read(cls, jwks: Mapping[str, Any]) -> Admins:
        """From a JWKS with a member ``threshold``; keys of other kinds are left out."""
        keys, names = {}, {}
        for jwk in jwks.get("keys", []):
            try:
                key = jose.import_public_key(jwk)
            except Problem:
                continue
            keys[key.thumbprint()] = key
            names[key.thumbprint()] = str(jwk.get("name") or "")
        return cls(keys, names, int(jwks.get("threshold", 1)))

    def name(self, kid: str) -> str:
        """Who it is, for a person."""
        return self.names.get(kid) or kid[:12]


@dataclass(frozen=True, slots=True)
class Affiliation:
    """Where a gateway belongs."""

    district: str = ""
    town: str = ""
    park: str = ""
    chains: tuple[str, ...] = ()

    @classmethod
    def read(cls, value: Any) -> Affiliation:
        """From a digest or a status; whatever is no text counts as not said."""
        said = value if isinstance(value, dict) else {}
        chains = said.get("chains")
        names = [each.get("name") if isinstance(each, dict) else each for each in chains] if chains else []
        texts = {name: said.get(name) for name in ("district", "town", "park")}
        return cls(
            **{name: text for name, text in texts.items() if isinstance(text, str)},
            chains=tuple(each for each in names if isinstance(each, str)),
        )

    def body(self) -> dict[str, Any]:
        """As the contract shows it."""
        return {"district": self.district, "town": self.town, "park": self.park, "chains": list(self.chains)}

    def fits(self, selector: Mapping[str, str]) -> bool:
        """Whether every member of the selector is this gateway's own."""
        own = {"district": (self.district,), "town": (self.town,), "park": (self.park,), "chain": self.chains}
        return all(wanted and wanted in own.get(name, ()) for name, wanted in selector.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle that at least one administrator signed."""

    hash: str
    """SHA-256 of the payload."""
    revision: int
    gateway: str
    selector: Mapping[str, str]
    issued: datetime
    expires: datetime
    config: str
    signers: tuple[str, ...]
    """Thumbprints of the administrators whose signatures hold."""
    value: Mapping[str, Any]
    """The JWS."""

    def addresses(self, gateway_id: str, affiliation: Affiliation) -> bool:
        """Whether it is for this gateway."""
        return self.gateway == gateway_id if self.gateway else affiliation.fits(self.selector)

    @property
    def target(self) -> str:
        """Whom it is for, for a person."""
        return self.gateway or ", ".join(f"{name}={wanted}" for name, wanted in self.selector.items())

    @property
    def etag(self) -> str:
        """Another one when a signature was added: a gateway may take now what it refused before."""
        return f'"{hashlib.sha256(json.dumps(self.value, sort_keys=True).encode()).hexdigest()[:32]}"'

    def body(self) -> bytes:
        """As it is sent to gateways."""
        return json.dumps(self.value, separators=(",", ":")).encode()


def holding(signatures: Iterable[dict[str, str]], payload: bytes, admins: Admins) -> dict[str, dict[str, str]]:
    """Those that an administrator made, one each, by the key's id.

    What does not hold is left out: it could only make a gateway refuse the whole.
    """
    found: dict[str, dict[str, str]] = {}
    for each in signatures:
        kid = next((kid for kid, key in admins.keys.items() if holds(each, payload, key)), "")
        if kid:
            found.setdefault(kid, {name: each[name] for name in ("protected", "signature")})
    return found


def read_bundle(data: bytes, admins: Admins, *, verified: bool = False) -> Bundle:
    """Verify a bundle. Raises Problem ``malformed``, ``schema`` or ``not-trusted``.

    ``verified``: it was verified before; its signers may have left the list since.
    """
    value = parse_json(data)
    check_schema("SignedBundle", value)
    payload = payload_bytes(value["payload"])
    content = parse_json(payload)
    check_schema("ConfigurationBundle", content)
    signatures = holding(value["signatures"], payload, admins)
    if not signatures and not verified:
        raise Problem("not-trusted", "it is signed by none of this platform's administrators")
    issued, expires = _time(content, "issued_at"), _time(content, "expires_at")
    if issued >= expires:
        raise wrong("/expires_at", "is not after issued_at")
    return Bundle(
        hash=hashlib.sha256(payload).hexdigest(),
        revision=content["revision"],
        gateway=content.get("gateway_id", ""),
        selector=content.get("selector", {}),
        issued=issued,
        expires=expires,
        config=content["config"],
        signers=tuple(signatures),
        value=value if verified else {"payload": value["payload"], "signatures": list(signatures.values())},
    )


def with_signatures(old: Bundle, new: Bundle, admins: Admins) -> Bundle:
    """``old`` with the signatures of ``new`` by further administrators."""
    value = {**old.value, "signatures": [*old.value["signatures"], *new.value["signatures"]]}
    return read_bundle(json.dumps(value).encode(), admins)


def holds(signature: Mapping[str, str], payload: bytes, key: OKPKey) -> bool:
    """Whether an entry of ``signatures`` is by this key over the payload."""
    try:
        jose.check_detached(f"{signature['protected']}..{signature['signature']}", payload, key)
    except Problem:
        return False
    return True


def payload_bytes(text: str) -> bytes:
    """What was signed, from its base64url. Raises Problem."""
    try:
        data = urlsafe_b64decode(text.encode("ascii"))
    except ValueError as error:
        raise Problem("malformed", "payload is no base64url") from error
    if urlsafe_b64encode(data).decode("ascii") != text:
        raise Problem("malformed", "payload is no canonical base64url")
    return data


def check_schema(schema: str, value: Any) -> None:
    """Hold a value against a component of the contract. Raises Problem."""
    problems = contract.problems(contract.component(schema), value)
    if problems:
        detail = "; ".join(f"{each['path'] or '/'}: {each['message']}" for each in problems)
        raise Problem("schema", detail, problems=problems)


def _time(content: Mapping[str, Any], name: str) -> datetime:
    try:
        when = datetime.fromisoformat(content[name])
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise wrong(f"/{name}", "is no time such as 2026-11-23T08:00:00Z")
    return when


def wrong(path: str, message: str) -> Problem:
    """One fault in what was signed."""
    return Problem("schema", f"{path}: {message}", problems=[{"path": path, "message": message}])
