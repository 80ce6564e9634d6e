"""Why there is no connection, in words that say what to do; by the names of the protocol's status codes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from drivers.contract import DriverError, FailureKind
from drivers.opcua import remedies
from drivers.opcua.clocks import difference
from drivers.opcua.options import Options
from drivers.quality import Quality

_CHECK_USER = "check username and password, and that the server has this user"
_NO_SERVER = "check that url is an OPC UA server's address; if it is, update the server"
_ROOM = "close other clients, or raise the number of sessions in the server"

_USER: dict[str, tuple[str, str]] = {
    "BadUserAccessDenied": ("does not let this user in (wrong user name or password)", _CHECK_USER),
    "BadIdentityTokenInvalid": ("does not accept this user (wrong user name or password)", _CHECK_USER),
    "BadIdentityTokenRejected": ("does not accept this user (wrong user name or password)", _CHECK_USER),
    "BadUserSignatureInvalid": ("does not accept the user's certificate", "have the server trust it"),
}
"""Needs a person; the device refuses."""

_TRUST: dict[str, str] = {
    "BadCertificateUntrusted": "does not trust the gateway's certificate",
    "BadSecurityChecksFailed": "does not trust the gateway's certificate, or cannot check it",
    "BadCertificateInvalid": "does not accept the gateway's certificate",
    "BadCertificateUseNotAllowed": "does not accept the gateway's certificate for this use",
    "BadCertificateChainIncomplete": "wants a certificate that it can trace to its authority",
    "BadApplicationSignatureInvalid": "does not accept the gateway's signature",
    "BadNoValidCertificates": "does not accept the gateway's certificate",
    "BadCertificateUriInvalid": "says that the certificate belongs to another application",
    "BadCertificateHostNameInvalid": "says that the certificate belongs to another host",
    "BadCertificateIssuerUseNotAllowed": "does not accept the gateway's certificate for this use",
    "BadCertificatePolicyCheckFailed": "does not accept the gateway's certificate under its own rules",
    "BadCertificateRevocationUnknown": "cannot check whether the gateway's certificate was revoked",
    "BadCertificateIssuerRevocationUnknown": "cannot check whether the gateway's certificate was revoked",
    "BadCertificateRevoked": "has revoked the gateway's certificate",
    "BadCertificateIssuerRevoked": "has revoked the gateway's certificate",
}
"""Needs a person: the server has to be told to trust the gateway."""

_CLOCKS: dict[str, str] = {
    "BadInvalidTimestamp": "refuses the time of our requests",
    "BadCertificateTimeInvalid": "says that the gateway's certificate is not valid at this time",
    "BadCertificateIssuerTimeInvalid": "says that the gateway's certificate is not valid at this time",
}
"""The clocks differ."""

_OTHER: dict[str, tuple[str, str, FailureKind]] = {
    "BadSecurityPolicyRejected": (
        "refuses this security policy",
        'write security = "auto"',
        FailureKind.PERMANENT,
    ),
    "BadSecurityModeRejected": ("refuses this security mode", 'write security = "auto"', FailureKind.PERMANENT),
    "BadSecurityModeInsufficient": (
        "wants a connection with more security",
        'write security = "auto"',
        FailureKind.PERMANENT,
    ),
    "BadTooManySessions": ("has no session left", _ROOM, FailureKind.TRANSIENT),
    "BadMaxConnectionsReached": ("has no session left", _ROOM, FailureKind.TRANSIENT),
    "BadTcpNotEnoughResources": ("has no connection left", _ROOM, FailureKind.TRANSIENT),
    "BadTcpEndpointUrlInvalid": (
        "knows no endpoint of this url",
        "look up the endpoint's path in the server",
        FailureKind.PERMANENT,
    ),
    "BadServerHalted": ("is stopped", "start the server", FailureKind.TRANSIENT),
    "BadShutdown": ("is shutting down", "wait for it, or start the server", FailureKind.TRANSIENT),
    "BadServiceUnsupported": ("has no such service", "update the server", FailureKind.PERMANENT),
    "BadTcpMessageTypeInvalid": ("does not understand our greeting", _NO_SERVER, FailureKind.TRANSIENT),
    "BadProtocolVersionUnsupported": ("does not speak our version", "update the server", FailureKind.PERMANENT),
}


@dataclass(frozen=True, slots=True)
class Clocks:
    """What two clocks told; ``server`` is None where it did not say."""

    server: datetime | None
    ours: datetime


def refused(error: BaseException, options: Options, folder: Path | None, place: str, clocks: Clocks) -> DriverError:
    """A failure to connect as the operator shall read it. ``folder``: where the gateway's certificate is."""
    if isinstance(error, DriverError):
        return error
    name = type(error).__name__
    if name in _USER:
        what, remedy = _USER[name]
        return DriverError(f"{place} {what}", kind=FailureKind.PERMANENT, quality=Quality.REFUSED, remedy=remedy)
    if name in _TRUST:
        return DriverError(
            f"{place} {_TRUST[name]}", kind=FailureKind.PERMANENT, quality=Quality.REFUSED, remedy=_import(folder)
        )
    if name in _OTHER:
        what, remedy, kind = _OTHER[name]
        return DriverError(f"{place} {what}", kind=kind, quality=Quality.REFUSED, remedy=remedy)
    if name in _CLOCKS:
        told, remedy = difference(clocks.server, clocks.ours)
        return DriverError(f"{place} {_CLOCKS[name]}: {told}", quality=Quality.REFUSED, remedy=remedy)
    if (code := getattr(error, "code", None)) is not None:
        said = f"{place} refuses the connection: {name}"
        return DriverError(said, quality=Quality.REFUSED, remedy=remedies.remedy(int(code)))
    return _unreachable(error, options, folder, place)


def _unreachable(error: BaseException, options: Options, folder: Path | None, place: str) -> DriverError:
    if isinstance(error, TimeoutError):
        what, remedy = "does not answer", "check power, cable and address; a slow server needs a longer timeout"
        return DriverError(f"{place} {what}", quality=Quality.TIMEOUT, remedy=remedy)
    if isinstance(error, ConnectionRefusedError):
        what, remedy = "refuses connections", "start the OPC UA server, and check the port"
    elif isinstance(error, OSError) and error.errno is None and folder is not None and options.security != "none":
        # Most servers hang up on a certificate that they do not know, so as to tell an attacker nothing.
        what, remedy = "closed the connection while it was being secured", _import(folder)
    elif isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        what, remedy = f"cannot be reached: {reason}", "check cable, address and port"
    else:
        reason = " ".join(str(error).split()) or type(error).__name__
        what, remedy = f"gave an answer that is not understood: {reason[:200]}", _NO_SERVER
        return DriverError(f"{place} {what}", quality=Quality.MALFORMED, remedy=remedy)
    return DriverError(f"{place} {what}", remedy=remedy)


def _import(folder: Path | None) -> str:
    file = folder / "application.der" if folder is not None else "the gateway's application.der"
    return f"in the server, trust the certificate of gongfu-edge: move it from rejected to trusted, or import {file}"
