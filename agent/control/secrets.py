"""Secrets on their way to one gateway: sealed by an administrator, opened here, shown nowhere.

``identity/encryption.json`` (mode 0600) holds the gateway's second key, X25519, whose public half it
registers at enrolment. A sealed secret is a compact JWE (RFC 7516) to that key; one for several
gateways is several of them, a blank between two, and each gateway opens the one that names its key.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from agent.control.strict import read_base64url, read_json
from agent.errors import GongfuError
from agent.evidence.files import make_folder, write_atomically

KEY_AGREEMENT, CIPHER = "ECDH-ES+A256KW", "A256GCM"
LONGEST_SECRET = 64 * 1024
SHORTEST_HIDDEN = 4
"""A shorter secret would take ordinary words and numbers out of every message."""
HIDDEN = "…"
_FILE = "encryption.json"


class EncryptionKey:
    """The gateway's own key, and what it opened so far."""

    def __init__(self, key: OKPKey) -> None:
        self._key = key
        self.thumbprint: str = key.thumbprint()
        """RFC 7638, base64url; the ``kid`` of what is sealed for it."""
        self._opened: set[str] = set()

    @classmethod
    def load_or_create(cls, folder: Path) -> EncryptionKey:
        """Load the key below ``folder``, or make one. Raises GongfuError when its file is damaged."""
        try:
            make_folder(folder)
            path = folder / _FILE
            handle = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)  # the agent and enroll may start at the same moment
                if not path.exists():
                    key = OKPKey.generate_key("X25519")
                    write_atomically(path, msgspec.json.encode(key.as_dict(private=True)))
            finally:
                os.close(handle)
            return cls(_load(path))
        except OSError as error:
            raise GongfuError(
                f"encryption key in {folder}: {error.strerror}",
                remedy="run as the user that owns the data directory, or as root",
            ) from error

    def public_jwk(self) -> dict[str, Any]:
        """The public key as a JWK."""
        return {**self._key.as_dict(private=False), "kid": self.thumbprint, "alg": KEY_AGREEMENT, "use": "enc"}

    def decrypt(self, sealed: str) -> str:
        """The text of a sealed secret. Raises ValueError, whose message holds none of it."""
        jwe = next((each for each in sealed.split(" ") if _kid(each) == self.thumbprint), None)
        if jwe is None:
            raise ValueError("is not sealed for this gateway's key")
        text = _open(jwe, self._key)
        if len(text) >= SHORTEST_HIDDEN:
            self._opened.add(text)
        return text

    def hide(self, text: str) -> str:
        """``text`` without any secret that was opened so far."""
        for secret in sorted(self._opened, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text


class HidesSecrets(logging.Filter):
    """Takes opened secrets out of every log record of the handlers that it is added to."""

    def __init__(self, key: EncryptionKey) -> None:
        super().__init__()
        self._key = key

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        said = record.getMessage()
        hidden = self._key.hide(said)
        if hidden != said:
            record.msg, record.args = hidden, None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._key.hide(record.exc_text)
        return True


def seal(text: str, recipients: Iterable[Mapping[str, Any]]) -> str:
    """``text`` for the gateways with these public keys (JWKs). Raises ValueError for a key or text that cannot be."""
    from joserfc import jwe

    plain = text.encode()
    if len(plain) > LONGEST_SECRET:
        raise ValueError(f"is longer than {LONGEST_SECRET // 1024} KiB")
    keys = {key.thumbprint(): key for key in map(recipient, recipients)}
    if not keys:
        raise ValueError("is for no gateway: name their keys")
    algorithms = [KEY_AGREEMENT, CIPHER]
    return " ".join(
        jwe.encrypt_compact({"alg": KEY_AGREEMENT, "enc": CIPHER, "kid": kid}, plain, key, algorithms=algorithms)
        for kid, key in sorted(keys.items())
    )


def recipient(jwk: Any) -> OKPKey:
    """A gateway's public key. Raises ValueError."""
    if not isinstance(jwk, Mapping) or (jwk.get("kty"), jwk.get("crv")) != ("OKP", "X25519"):
        raise ValueError("is no X25519 key")
    try:
        if len(read_base64url(jwk.get("x"))) != 32:
            raise ValueError("is no X25519 key of 32 bytes")
        return OKPKey.import_key({"kty": "OKP", "crv": "X25519", "x": jwk["x"]})
    except JoseError as error:
        raise ValueError(f"is no X25519 key: {error}") from None


def _kid(jwe: str) -> object:
    try:
        header = read_json(read_base64url(jwe.partition(".")[0]))
    except ValueError:
        return None
    return header.get("kid") if isinstance(header, dict) else None


def _open(sealed: str, key: OKPKey) -> str:
    from joserfc import jwe

    try:
        # Only these two: no compression (which may be a bomb), no password, no other cipher.
        plain = jwe.decrypt_compact(sealed, key, algorithms=[KEY_AGREEMENT, CIPHER]).plaintext
        return (plain or b"").decode("utf-8")
    except (JoseError, ValueError, TypeError, KeyError):
        # Without its cause: a message of the library might show what it could not read.
        raise ValueError("cannot be opened with this gateway's key") from None


def _load(path: Path) -> OKPKey:
    if path.stat().st_mode & 0o077:
        logging.getLogger(__name__).warning("%s was readable by others; set to 0600", path)
        path.chmod(0o600)
    try:
        key = OKPKey.import_key(msgspec.json.decode(path.read_bytes()))
        if key.curve_name != "X25519" or not key.is_private:
            raise ValueError("not a private X25519 key")
    except (JoseError, ValueError, KeyError, TypeError, AttributeError, msgspec.DecodeError) as error:
        raise GongfuError(
            f"{path} is damaged: {error}",
            remedy="remove it and enrol again; secrets then have to be sealed for the new key",
        ) from None
    return key
