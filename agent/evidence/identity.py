"""The gateway as an identity: an Ed25519 key made on the device, that never leaves it.

``identity/key.json`` (mode 0600) is the private key as a JWK; ``identity/enrolment.json`` is what the
platform answered when the gateway was enrolled, and ``enrolment-<audience>.json`` what the platform of an
audience did.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hmac import compare_digest
from pathlib import Path
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from agent.errors import GongfuError
from agent.evidence.algorithm import ALGORITHM
from agent.evidence.chain import digest_hash
from agent.evidence.files import make_folder, write_atomically
from agent.evidence.head import TYPE, Place, content_type, place_of, read_content_type

log = logging.getLogger(__name__)

TOKEN_LIFETIME_S = 240
PROOF = "gongfu-enrolment"
"""``typ`` of the proof that an enrolment request holds."""
_KEY, _ENROLMENT = "key.json", "enrolment.json"


class Enrolment(msgspec.Struct, frozen=True):
    """What the platform knows this gateway as. ``admins``: JWKS of its administrators; ``accepted``: fingerprints of
    those whom the operator accepted."""

    gateway_id: str
    url: str
    admins: dict[str, Any] = {}
    enterprise: str = ""
    accepted: tuple[str, ...] = ()

    @property
    def trusted_admins(self) -> dict[str, Any]:
        """The list, where the operator accepted every one on it; else nobody is on it."""
        try:
            known = set(fingerprints(self.admins))
        except ValueError:
            return {}
        return self.admins if known and known <= {*self.accepted} else {}


def fingerprints(jwks: Any) -> list[str]:
    """SHA-256 of each public key of a list, as RFC 7638 has it, in base64url. Raises ValueError where it is none."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list):
        raise ValueError("is no list of keys")
    try:
        return [str(OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": key["x"]}).thumbprint()) for key in keys]
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"holds a key that cannot be used: {error}") from error


class _Protected(msgspec.Struct):
    """Of a signature's protected header, what is looked at."""

    cty: str = ""


class Identity:
    """The key and, after enrolment, the name that the platform gave it."""

    def __init__(self, folder: Path, key: OKPKey, enrolment: Enrolment | None, file: str = _ENROLMENT) -> None:
        self._folder = folder
        self._key = key
        self._file = file
        self.thumbprint: str = key.thumbprint()
        """RFC 7638, base64url; the ``kid`` of every signature."""
        self.enrolment = enrolment

    @classmethod
    def load_or_create(cls, folder: Path) -> Identity:
        """Load the identity below ``folder``, or make one. Raises GongfuError when its file is damaged.

        A damaged key is never replaced by itself: another key is another gateway to the platform.
        """
        try:
            make_folder(folder)
            path = folder / _KEY
            with _alone(folder):
                if not path.exists():
                    _make_key(path)
            return cls(folder, _load_key(path), _load_enrolment(folder / _ENROLMENT))
        except OSError as error:
            raise GongfuError(
                f"identity in {folder}: {error.strerror}",
                remedy="run as the user that owns the data directory, or as root",
            ) from error

    def persona(self, audience: str) -> Identity:
        """The same key, as an audience's own platform knows it: with the enrolment there."""
        file = f"enrolment-{audience}.json"
        return Identity(self._folder, self._key, _load_enrolment(self._folder / file), file)

    @property
    def gateway_id(self) -> str:
        """The enrolled id, or before that ``gw-`` and 16 hex digits of the key's thumbprint."""
        return self.enrolment.gateway_id if self.enrolment else self.own_id

    @property
    def own_id(self) -> str:
        """The id that follows from the key alone."""
        return "gw-" + urlsafe_b64decode(self.thumbprint.encode()).hex()[:16]

    def refresh(self) -> bool:
        """Take over an enrolment that was made meanwhile; returns whether there is one."""
        self.enrolment = _load_enrolment(self._folder / self._file)
        return self.enrolment is not None

    def save_enrolment(
        self, gateway_id: str, url: str, admins: dict[str, Any], enterprise: str = "", accepted: Sequence[str] = ()
    ) -> None:
        """Keep what the platform answered, and which administrators the operator accepted."""
        self.enrolment = Enrolment(gateway_id, url, admins, enterprise, tuple(accepted))
        write_atomically(self._folder / self._file, msgspec.json.encode(self.enrolment))

    def follow(self, stream: str, head: str) -> None:
        """Keep the engineer's word that a platform's head, ``seq:hash``, is to be followed."""
        write_atomically(self._folder / f"follow-{stream or '.own'}", head.encode("ascii"))

    def may_follow(self, stream: str, seq: int, hash_: str) -> bool:
        """Whether the engineer has said so; the hash may be given by its beginning."""
        try:
            with (self._folder / f"follow-{stream or '.own'}").open("rb") as file:
                said = file.read(100)
        except OSError:
            return False
        number, _, start = said.decode("ascii", "replace").partition(":")
        return number == str(seq) and len(start) >= 16 and hash_.startswith(start)

    def public_jwk(self) -> dict[str, Any]:
        """The public key as a JWK with ``kid`` and ``alg``."""
        return {**self._key.as_dict(private=False), "kid": self.thumbprint, "alg": ALGORITHM, "use": "sig"}

    def public_jwks(self) -> dict[str, Any]:
        """The public key as a JWKS, for whoever verifies exported digests."""
        return {"keys": [self.public_jwk()]}

    def sign_detached(self, payload: bytes) -> str:
        """Detached JWS (RFC 7515, appendix F) over the exact bytes: ``header..signature``.

        Of a digest it holds its place, signed by itself.
        """
        header = {"alg": ALGORITHM, "kid": self.thumbprint}
        place = place_of(payload, digest_hash(payload))
        if place is not None:
            header["cty"] = content_type(place, self._sign_place(place))
        head, _, signature = jws.serialize_compact(header, payload, self._key, algorithms=[ALGORITHM]).split(".")
        return f"{head}..{signature}"

    def signed_place(self, signature: str, hash_: str, audience: str) -> Place | None:
        """The place that a digest's signature gives it, where this key has signed that; needs no digest, but its
        hash."""
        try:
            header = urlsafe_b64decode(signature.partition(".")[0].encode("ascii"))
            found = read_content_type(msgspec.json.decode(header, type=_Protected).cty, hash_, audience)
        except (ValueError, msgspec.DecodeError, RecursionError):
            return None
        if found is None:
            return None
        place, signed = found
        # The same key gives the same bytes the same signature (RFC 8032).
        return place if compare_digest(self._sign_place(place).encode(), signed.encode()) else None

    def _sign_place(self, place: Place) -> str:
        return self._sign(TYPE, msgspec.json.encode(place)).rpartition(".")[2]

    def prove(self, claims: dict[str, Any]) -> str:
        """Compact JWS over ``claims``: whoever sends it has the key."""
        return self._sign(PROOF, msgspec.json.encode(claims))

    def _sign(self, type_: str, payload: bytes) -> str:
        header = {"alg": ALGORITHM, "kid": self.thumbprint, "typ": type_}
        return jws.serialize_compact(header, payload, self._key, algorithms=[ALGORITHM])

    def token(self, audience: str, now_s: int) -> str:
        """Bearer token for one platform, valid for four minutes from ``now_s`` (UTC seconds)."""
        claims = {
            "iss": self.gateway_id,
            "sub": self.gateway_id,
            "aud": audience.rstrip("/"),
            "iat": now_s,
            "exp": now_s + TOKEN_LIFETIME_S,
            "jti": secrets.token_urlsafe(16),
        }
        # A JWT is a JWS over claims; joserfc.jwt would load encryption with it.
        return self._sign("JWT", msgspec.json.encode(claims))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The agent and ``enroll`` may start at the same moment; only one of them makes the key."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make_key(path: Path) -> None:
    if (path.parent / _ENROLMENT).exists():
        raise GongfuError(
            f"{path} is missing, but this gateway was enrolled with it",
            remedy=f"restore it from a backup, or remove {path.parent} and enrol anew",
        )
    key = OKPKey.generate_key("Ed25519")
    write_atomically(path, msgspec.json.encode(key.as_dict(private=True)))


def _load_key(path: Path) -> OKPKey:
    if path.stat().st_mode & 0o077:
        log.warning("%s was readable by others; set to 0600. If somebody copied it, enrol anew", path)
        path.chmod(0o600)
    try:
        key = OKPKey.import_key(msgspec.json.decode(path.read_bytes()))
        if key.curve_name != "Ed25519" or not key.is_private:
            raise ValueError("not a private Ed25519 key")
    except (JoseError, ValueError, KeyError, TypeError, AttributeError, msgspec.DecodeError) as error:
        raise GongfuError(
            f"{path} is damaged: {error}", remedy="restore it from a backup, or remove the folder and enrol anew"
        ) from error
    return key


def _load_enrolment(path: Path) -> Enrolment | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Enrolment)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise GongfuError(f"{path} is damaged: {error}", remedy="enrol again: gongfu-edge enroll") from error


def hardware() -> str:
    """What the gateway is, for the platform's list: the board's model, or the machine type."""
    try:
        return Path("/proc/device-tree/model").read_text(encoding="utf-8").strip("\0\n ")
    except OSError:
        return os.uname().machine
