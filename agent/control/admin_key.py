"""An administrator's own key: signs bundles, and proves to the platform who asks."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from agent.control.strict import read_json
from agent.control.trust import Trust, read_trust
from agent.errors import GongfuError
from agent.evidence.algorithm import ALGORITHM
from agent.evidence.files import write_atomically

TOKEN_LIFETIME_S = 240


class AdminKey:
    """A private Ed25519 key and the name that goes with it."""

    def __init__(self, key: OKPKey, name: str = "") -> None:
        self._key = key
        self.name = name
        self.kid: str = key.thumbprint()

    @classmethod
    def generate(cls, path: Path, name: str) -> AdminKey:
        """Make a key and write it to ``path`` (mode 0600). Raises GongfuError where there is one already."""
        made = cls(OKPKey.generate_key("Ed25519"), name)
        if path.exists():
            raise GongfuError(f"{path} exists and is not overwritten", remedy="name another file with --out")
        data = msgspec.json.encode({**made._key.as_dict(private=True), "name": name}) + b"\n"
        write_atomically(path, data, remedy="name a folder that exists and is yours")
        return made

    @classmethod
    def load(cls, path: Path) -> AdminKey:
        """A key that :meth:`generate` wrote. Raises GongfuError; refuses a file that others may read."""
        try:
            if path.stat().st_mode & 0o077 and os.name == "posix":
                raise GongfuError(f"{path} is readable by others", remedy=f"chmod 600 {path}")
            value = read_json(path.read_bytes())
            key = OKPKey.import_key(value)
            if key.curve_name != "Ed25519" or not key.is_private:
                raise ValueError("not a private Ed25519 key")
            return cls(key, str(value.get("name", "")))
        except OSError as error:
            raise GongfuError(
                f"{path}: {error.strerror}", remedy="name your private key with --key; admin keygen makes one"
            ) from error
        except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
            # Without the cause: it might show a part of the key.
            raise GongfuError(
                f"{path} is no administrator's key", remedy="name the file that admin keygen wrote"
            ) from error

    def public_jwk(self) -> dict[str, Any]:
        """The public key, as a trust file holds it."""
        public = {**self._key.as_dict(private=False), "kid": self.kid, "alg": ALGORITHM, "use": "sig"}
        return {**public, "name": self.name} if self.name else public

    def sign(self, payload: bytes, typ: str = "") -> dict[str, str]:
        """One entry of ``signatures``; ``typ``: of the protected header, empty: none."""
        header = {"alg": ALGORITHM, "kid": self.kid, **({"typ": typ} if typ else {})}
        head, _, signature = jws.serialize_compact(header, payload, self._key, algorithms=[ALGORITHM]).split(".")
        return {"protected": head, "signature": signature}

    def token(self, audience: str, now_s: int | None = None) -> str:
        """Bearer token for one request to one platform."""
        now = int(time.time()) if now_s is None else now_s
        claims = {
            "iss": self.kid,
            "sub": self.kid,
            "aud": audience.rstrip("/"),
            "iat": now,
            "exp": now + TOKEN_LIFETIME_S,
            "jti": secrets.token_urlsafe(16),
        }
        header = {"alg": ALGORITHM, "kid": self.kid, "typ": "JWT"}
        return jws.serialize_compact(header, msgspec.json.encode(claims), self._key, algorithms=[ALGORITHM])


def read_trust_file(path: Path) -> tuple[dict[str, Any], Trust]:
    """A trust file's JSON and what it means. Raises GongfuError."""
    try:
        value = read_json(path.read_bytes())
        return value, read_trust(value)
    except OSError as error:
        raise GongfuError(f"{path}: {error.strerror}", remedy="name a trust file, such as admins.jwks") from error
    except ValueError as error:
        raise GongfuError(f"{path}: {error}", remedy="a trust file is a JWKS with a member threshold") from error


def add_to_trust(path: Path, jwk: Mapping[str, Any], threshold: int | None) -> Trust:
    """Add a public key to a trust file, or begin one. Raises GongfuError; the file is then as before."""
    value: dict[str, Any] = read_trust_file(path)[0] if path.exists() else {"keys": []}
    value = {**value, "keys": [*value["keys"], dict(jwk)], "threshold": threshold or value.get("threshold", 1)}
    try:
        trust = read_trust(value)
    except ValueError as error:
        raise GongfuError(f"{path}: {error}", remedy="add the other keys first, then raise --threshold") from error
    write_atomically(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n", 0o644)
    return trust
