"""Certificates: the gateway's own, made on first use, and those of the servers it was told to trust.

Everything is below the folder that the agent lends (:attr:`Context.state_dir`)::

    application.pem        the gateway's private key and certificate, in one file so that they agree
    application.der        the certificate alone, to be imported into a server's trust list
    trusted/HOST_PORT.json a server's certificate as it was pinned

No chain of authority is asked: what a server presents is compared with what an operator has seen.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from drivers.contract import DriverError, FailureKind
from drivers.quality import Quality

NAME = "gongfu-edge"
KEY_BITS = 2048
"""Every policy takes it, and old servers take no more."""
VALID_DAYS = 20 * 365
ENDS_SOON = timedelta(days=30)
NOT_BEFORE_RELEASE = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock may be years behind or ahead when a certificate is made: it is valid from then on in either case."""
_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class Application:
    """The gateway as an OPC UA application."""

    uri: str
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    file: Path
    """The certificate as a file, for the server's trust list."""


class Pin(msgspec.Struct, frozen=True):
    """A server's certificate that an operator has trusted."""

    certificate: bytes
    pinned: datetime
    accepted_expired: bool = False
    """It was out of date already, and the operator trusted it all the same."""


def application(
    folder: Path | None, now: datetime, *, clock_trusted: bool = False, tell: Callable[[str], None] = lambda text: None
) -> Application:
    """The gateway's certificate; made when there is none. Takes seconds then; raises DriverError.

    One that a wrong clock made, so that it is not valid yet, is made anew once the clock is trusted; ``tell`` says so.
    """
    with _making:  # devices share it, and each asks in a thread of its own
        made = _application(folder, now)
        begin = made.certificate.not_valid_before_utc
        if begin <= now:
            return made
        about = f"the gateway's own certificate is valid from {_day(begin)}, and the gateway's clock says {_day(now)}"
        if not clock_trusted:
            tell(f"{about}: it is made anew once the clock is trusted (NTP, or the platform)")
            return made
        try:
            write_private(made.file.with_suffix(".pem"), _make_application(now))
            made.file.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_keep(made.file.parent, error) from error
        tell(f"{about}: a new one was made, have the servers trust it: {made.file}")
        return _application(folder, now)


def _application(folder: Path | None, now: datetime) -> Application:
    if folder is None:
        raise _permanent("there is no folder to keep a key in", "give the driver a state_dir")
    path = folder / "application.pem"
    try:
        if not path.exists():
            _write_new(path, _make_application(now))
        made = _load_application(path)
        if not made.file.exists():
            write_private(made.file, made.certificate.public_bytes(serialization.Encoding.DER))
    except OSError as error:
        raise _cannot_keep(folder, error) from error
    except (ValueError, TypeError, x509.ExtensionNotFound, IndexError) as error:
        remedy = f"remove {path}: a new one is made, which the servers must be told to trust"
        raise _permanent(f"{path} is damaged", remedy) from error
    if made.certificate.not_valid_after_utc < now:
        remedy = f"remove {path} and {made.file.name}: a new one is made, which the servers must be told to trust"
        raise _permanent(f"the gateway's own certificate ended on {_day(made.certificate.not_valid_after_utc)}", remedy)
    return made


def check_server(
    certificate: x509.Certificate, place: str, device: str, folder: Path | None, now: datetime, *, trust: bool
) -> list[str]:
    """Compare a server's certificate with the pinned one, or pin it if ``trust``; raises DriverError.

    ``place`` is ``host:port``. The certificate is what the server showed; that it holds the key to it
    is proven when the secure channel is opened. Returns what an operator should know.
    """
    der = certificate.public_bytes(serialization.Encoding.DER)
    expired = certificate.not_valid_after_utc < now
    known = pinned(folder, place)
    if trust:
        return _trust_now(certificate, known, place, folder, Pin(der, now, expired))
    command = f"gongfu-edge check --connect --trust {device}"
    if known is None:
        about = f"{describe(certificate)}{' (expired)' if expired else ''}, SHA-1 {thumbprint(certificate)}"
        message = f"the certificate of {place} is not trusted yet: {about}"
        raise _permanent(message, f"compare the fingerprint with the server's own, then: {command}")
    if known.certificate != der:
        old = fingerprint(x509.load_der_x509_certificate(known.certificate))
        message = (
            f"the certificate of {place} has changed: trusted is SHA-256 {old}, now it shows {describe(certificate)}"
        )
        raise _permanent(message, f"find out why; if it was renewed or the machine was exchanged: {command}")
    if certificate.not_valid_before_utc > now:
        begin = _day(certificate.not_valid_before_utc)
        message = f"the certificate of {place} is valid from {begin}, and the gateway's clock says {_day(now)}"
        raise DriverError(message, remedy="set the clock (timedatectl, NTP)")
    if expired and not known.accepted_expired:
        message = f"the certificate of {place} ended on {_day(certificate.not_valid_after_utc)}"
        raise _permanent(message, f"renew it in the server; to go on with the old one: {command}")
    left = certificate.not_valid_after_utc - now
    soon = f"the certificate of {place} ends on {_day(certificate.not_valid_after_utc)}: have it renewed in the server"
    return [soon] if not expired and left < ENDS_SOON else []


def _trust_now(
    certificate: x509.Certificate, known: Pin | None, place: str, folder: Path | None, new: Pin
) -> list[str]:
    if known is not None and known == msgspec.structs.replace(new, pinned=known.pinned):
        return [f"the certificate of {place} is trusted already: {describe(certificate)}"]
    pin(folder, place, new)
    told = f"trusted from now on: {place}, {describe(certificate)}, SHA-1 {thumbprint(certificate)}"
    if known is not None and known.certificate != new.certificate:
        told += f" (instead of SHA-256 {fingerprint(x509.load_der_x509_certificate(known.certificate))})"
    return [told]


def matches_pin(certificate: bytes, place: str, folder: Path | None) -> bool:
    """Whether there is no pin, or the certificate is the pinned one: all that can be asked of an open connection."""
    known = pinned(folder, place)
    return known is None or known.certificate == certificate


def pinned(folder: Path | None, place: str) -> Pin | None:
    """What is pinned for ``host:port``; raises DriverError when it cannot be read."""
    if folder is None:
        return None
    path = _pin_path(folder, place)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pin)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot_keep(folder, error) from error
    except msgspec.DecodeError as error:
        raise _permanent(f"{path} is damaged", "remove it, and trust the server again") from error


def pin(folder: Path | None, place: str, known: Pin) -> None:
    """Trust a certificate from now on; raises DriverError."""
    if folder is None:
        raise _permanent("there is no folder to keep trust in", "give the driver a state_dir")
    path = _pin_path(folder, place)
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _give_to_owner(path.parent, path.parent.parent)
        write_private(path, msgspec.json.encode(known))
    except OSError as error:
        raise _cannot_keep(folder, error) from error


def describe(certificate: x509.Certificate) -> str:
    """``CN=…, SHA-256 …, valid until 2030-01-01``."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else certificate.subject.rfc4514_string()
    shown = name if name.isprintable() else ascii(name)
    return f"CN={shown}, SHA-256 {fingerprint(certificate)}, valid until {_day(certificate.not_valid_after_utc)}"


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, as hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 of the certificate, as many OPC UA tools show it."""
    return certificate.fingerprint(hashes.SHA1()).hex()


def write_private(path: Path, data: bytes) -> None:
    """Replace a file by a whole one of mode 0600, which belongs to whom the folder belongs."""
    name = _write_beside(path, data)
    try:
        name.replace(path)
    except BaseException:
        name.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _write_new(path: Path, data: bytes) -> None:
    """Like :func:`write_private`, but the first of several writers wins."""
    name = _write_beside(path, data)
    try:
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        name.unlink()
    _sync_folder(path.parent)


def _write_beside(path: Path, data: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _give_to_owner(Path(name), path.parent)
    except BaseException:
        Path(name).unlink()
        raise
    return Path(name)


def _give_to_owner(path: Path, of: Path) -> None:
    # An operator's command may run as root; what it keeps is for the agent, which does not.
    if os.geteuid() == 0:
        owner = of.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_application(now: datetime) -> bytes:
    host = socket.gethostname()
    uri = f"urn:{quote(host, safe='')}:{NAME}"
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, NAME), x509.NameAttribute(NameOID.ORGANIZATION_NAME, host)]
    )
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    if host.isascii():
        names.append(x509.DNSName(host))
    usage = x509.KeyUsage(True, True, True, True, False, True, False, False, False)
    own_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, NOT_BEFORE_RELEASE) - timedelta(days=1))
        .not_valid_after(max(now, NOT_BEFORE_RELEASE) + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(own_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own_id), critical=False)
        .sign(key, hashes.SHA256())
    )
    form, no_password = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    return key.private_bytes(pem, form, no_password) + certificate.public_bytes(pem)


def _load_application(path: Path) -> Application:
    data = path.read_bytes()
    key = serialization.load_pem_private_key(data, None)
    certificate = x509.load_pem_x509_certificate(data)
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("key and certificate do not belong together")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uri = names.get_values_for_type(x509.UniformResourceIdentifier)[0]
    return Application(uri, certificate, key, path.with_suffix(".der"))


def _pin_path(folder: Path, place: str) -> Path:
    return folder / "trusted" / f"{quote(place.lower().replace(':', '_'), safe='[]')}.json"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _permanent(message: str, remedy: str) -> DriverError:
    return DriverError(message, kind=FailureKind.PERMANENT, remedy=remedy)


def _cannot_keep(folder: Path, error: OSError) -> DriverError:
    reason = error.strerror or type(error).__name__
    remedy = "run this as root or as the agent's user (sudo -u gongfu-edge …), and see that there is room on the disk"
    return DriverError(
        f"cannot keep keys in {folder}: {reason}", kind=FailureKind.PERMANENT, quality=Quality.CONNECTION, remedy=remedy
    )
