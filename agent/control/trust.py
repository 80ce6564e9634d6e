"""The administrators whose signatures count, and how many it takes.

A trust file is a JWKS with a member ``threshold`` (default 1). The local file, or what the platform
answered at enrolment where there is none, is the base. A bundle that the threshold signed may carry a
new list (rotation); it is kept with the base's hash, so that whoever changes the local file wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from agent.control.strict import read_json
from agent.errors import GongfuError

MOST_ADMINS = 64
LARGEST_FILE = 256 * 1024
REMEDY = "a trust file is what gongfu-edge admin keygen writes: a JWKS of Ed25519 public keys with a threshold"


@dataclass(frozen=True, slots=True)
class Admin:
    """One administrator's public key. ``kid``: RFC 7638 thumbprint."""

    kid: str
    key: OKPKey
    name: str = ""
    alias: str = ""
    """The ``kid`` that the list itself gives the key."""

    @property
    def shown(self) -> str:
        """The name, or what tells the key from others."""
        return self.name or self.kid[:12]


@dataclass(frozen=True, slots=True)
class Trust:
    """A list of administrators; ``threshold`` different ones must have signed."""

    admins: tuple[Admin, ...] = ()
    threshold: int = 1

    def by_kid(self, kid: str) -> tuple[Admin, ...]:
        """The administrators that a ``kid`` may mean; all of them where it is empty."""
        return tuple(each for each in self.admins if kid in ("", each.kid, each.alias))


def read_trust(value: Any) -> Trust:
    """A trust list from its JSON value. Raises ValueError with what is wrong."""
    keys = value.get("keys") if isinstance(value, Mapping) else None
    if not isinstance(keys, list):
        raise ValueError("is no JWKS: it has no list of keys")
    threshold = value.get("threshold", 1)
    if type(threshold) is not int or threshold < 1:
        raise ValueError("threshold must be a whole number from 1")
    if len(keys) > MOST_ADMINS:
        raise ValueError(f"has more than {MOST_ADMINS} keys")
    admins: dict[str, Admin] = {}
    for position, jwk in enumerate(keys):
        admin = _read_admin(jwk, position)
        # One key under two names is still one administrator.
        admins.setdefault(admin.kid, admin)
    if keys and threshold > len(admins):
        raise ValueError(f"threshold {threshold} is more than its {len(admins)} different keys")
    return Trust(tuple(admins.values()), threshold)


def _read_admin(jwk: Any, position: int) -> Admin:
    if not isinstance(jwk, Mapping) or jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519":
        raise ValueError(f"keys[{position}] is no Ed25519 key")
    if "d" in jwk:
        raise ValueError(f"keys[{position}] is a private key, which belongs to its administrator alone")
    try:
        key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": jwk["x"]})
        kid = key.thumbprint()
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"keys[{position}] cannot be used: {error}") from error
    name, alias = jwk.get("name", ""), jwk.get("kid", "")
    if not isinstance(name, str) or not isinstance(alias, str):
        raise ValueError(f"keys[{position}]: name and kid must be text")
    return Admin(kid, key, name[:100], alias)


class Rotation(msgspec.Struct, frozen=True):
    """A list that came by rotation. ``over``: hash of the base that it was laid over."""

    over: str
    revision: int
    trust: dict[str, Any]


def load_trust(
    local: Path, rotated: Rotation | None, enrolled: Mapping[str, Any] | None = None, *, named: bool = False
) -> Trust:
    """The list in force. Raises GongfuError when a file cannot be read or used, and nobody is trusted then.

    ``local``: ``[remote] trust_file``; ``named``: whether it is named there, so that it must be there. ``enrolled``:
    the JWKS that the operator accepted at enrolment, used where there is no local file. None of them: nobody.
    """
    base = _base(local, enrolled, named=named)
    if rotated is not None and rotated.over == _hash(base):
        return _parsed(rotated.trust, f"the administrators' list of revision {rotated.revision}")
    if not base:
        return Trust()
    try:
        value = read_json(base)
    except ValueError as error:
        raise GongfuError(f"{local}: {error}", remedy=REMEDY) from error
    return _parsed(value, str(local))


def rotation(
    local: Path, trust: Mapping[str, Any], revision: int, enrolled: Mapping[str, Any] | None = None
) -> Rotation:
    """The list that a verified bundle carries, to be kept; in force until the local file changes."""
    return Rotation(_hash(_base(local, enrolled)), revision, dict(trust))


def _base(local: Path, enrolled: Mapping[str, Any] | None, *, named: bool = False) -> bytes:
    try:
        data = local.read_bytes()
    except FileNotFoundError:
        if named:
            raise GongfuError(
                f"trust file {local} is missing, so no administrator is trusted",
                remedy="put the administrators' list there, or correct [remote] trust_file",
            ) from None
        return msgspec.json.encode(enrolled, order="deterministic") if enrolled else b""
    except OSError as error:
        raise GongfuError(
            f"trust file {local}: {error.strerror}",
            remedy="let the agent's user read it, or correct [remote] trust_file",
        ) from error
    if len(data) > LARGEST_FILE:
        raise GongfuError(f"trust file {local} is larger than {LARGEST_FILE // 1024} KiB", remedy=REMEDY)
    return data


def load_rotation(path: Path) -> Rotation | None:
    """What earlier versions kept in a file of its own. Raises GongfuError where it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Rotation)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        # Never silently back to the base: a key may have been rotated out because it was stolen.
        raise GongfuError(
            f"{path} is damaged: {error}",
            remedy="compare the trust file with the administrators' current list, then remove this one",
        ) from error


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()


def _parsed(value: Any, where: str) -> Trust:
    try:
        return read_trust(value)
    except ValueError as error:
        raise GongfuError(f"{where}: {error}", remedy=REMEDY) from error
