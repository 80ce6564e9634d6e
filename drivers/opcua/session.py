"""The session: created, compared with what its endpoint promised, and entered as the configured user.

What the server says of itself here comes over the secure channel, so it is what counts; the list of
endpoints that was asked for without security was used to choose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.utils import create_nonce
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from drivers.contract import DriverError, FailureKind
from drivers.opcua import trust
from drivers.opcua.endpoints import POLICY, UNSECURED, lets_in, mode_of, name_of, rank, show
from drivers.opcua.options import POLICIES, Security
from drivers.opcua.transport import MOST_BYTES
from drivers.quality import Quality

SESSION_S = 60.0
"""Session timeout that is asked for: a session whose connection was cut must not hold the server's few
places for long."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must hold of the session."""

    chosen: str
    """Policy and mode, in words."""
    wanted: Security
    offer: ua.EndpointDescription
    certificate: x509.Certificate | None
    who: ua.UserTokenType
    place: str
    folder: Path | None
    plaintext: bool
    """A password may travel readable."""


async def enter(client: Client, expected: Expected, username: str, password: str) -> float:
    """Create and activate a session over the client's open channel: its timeout in seconds. Raises DriverError."""
    policy = client.security_policy
    nonce = create_nonce(32)
    result = await client.uaclient.create_session(_parameters(client, nonce))
    try:
        signature = result.ServerSignature.Signature or b""
        verifier: Any = policy.asymmetric_cryptography
        verifier.verify((policy.host_certificate or b"") + nonce, signature)
    except InvalidSignature as error:
        message = f"{expected.place} does not hold the key to the certificate that it shows"
        raise _permanent(message, "somebody else may answer at this address: look for what is in between") from error
    client._server_nonce = result.ServerNonce
    _compare_certificates(client, result, expected)
    endpoint = _endpoint(result, expected)
    client._policy_ids = list(endpoint.UserIdentityTokens or ())

    def token_policy(token_type: ua.UserTokenType) -> ua.UserTokenPolicy:
        return _token_policy(client, token_type, expected)

    client.server_policy = token_policy  # type: ignore[method-assign]
    await client.activate_session(username or None, password, client.user_certificate)
    return float(result.RevisedSessionTimeout) / 1000


def _parameters(client: Client, nonce: bytes) -> ua.CreateSessionParameters:
    params = ua.CreateSessionParameters()
    described = params.ClientDescription
    described.ApplicationUri, described.ProductUri = client.application_uri, client.product_uri
    described.ApplicationName, described.ApplicationType = ua.LocalizedText(client.name), ua.ApplicationType.Client
    params.ClientNonce, params.EndpointUrl = nonce, client.server_url.geturl()
    params.ClientCertificate = client.security_policy.host_certificate
    if not params.ClientCertificate and client.user_certificate is not None:
        params.ClientCertificate = client.user_certificate.public_bytes(serialization.Encoding.DER)
    params.SessionName = f"{client.description} session"
    params.RequestedSessionTimeout, params.MaxResponseMessageSize = SESSION_S * 1000, MOST_BYTES
    return params


def _endpoint(result: ua.CreateSessionResult, expected: Expected) -> ua.EndpointDescription:
    """The endpoint that we are at, as the session tells it; raises DriverError where a better one was hidden."""
    ours, offer, found = rank(expected.offer, expected.wanted) or 0, expected.offer, None
    for each in result.ServerEndpoints or ():
        theirs = rank(each, expected.wanted)
        if theirs is not None and theirs < ours and lets_in(each, expected.who):
            message = f"{expected.place} offers {show(each)}, but its list of endpoints was without it"
            raise _permanent(message, "somebody on the network may have removed it: look for what is in between")
        if (name_of(each), mode_of(each)) == (name_of(offer), mode_of(offer)):
            found = found or each
    # Some servers do not repeat the list here, or leave half of each entry out.
    return found if found is not None and found.UserIdentityTokens else offer


def _compare_certificates(client: Client, result: ua.CreateSessionResult, expected: Expected) -> None:
    policy = client.security_policy
    shown = leading_certificate(result.ServerCertificate)
    if policy.peer_certificate and shown and policy.peer_certificate != shown:
        message = f"{expected.place} shows another certificate in the session than for its channel"
        raise _permanent(message, "somebody on the network may be in between: look for it, or update the server")
    if not policy.peer_certificate:
        known = expected.certificate
        # Without security the server need not show it again; a password is encrypted with it.
        policy.peer_certificate = shown or (
            known.public_bytes(serialization.Encoding.DER) if known is not None else None
        )
    if policy.peer_certificate and not trust.matches_pin(policy.peer_certificate, expected.place, expected.folder):
        now = trust.describe(x509.load_der_x509_certificate(policy.peer_certificate))
        message = f"the certificate of {expected.place} is not the trusted one; it shows {now}"
        raise _permanent(message, "find out why; if it was renewed: gongfu-edge check --connect --trust")


def leading_certificate(chain: bytes | None) -> bytes | None:
    """The first certificate of a chain, unread; None where there is none."""
    if not chain or chain[0] != 0x30 or len(chain) < 4:
        return chain or None
    if chain[1] < 0x80:
        return chain[: 2 + chain[1]]
    octets = chain[1] & 0x7F
    return chain[: 2 + octets + int.from_bytes(chain[2 : 2 + octets], "big")]


def _token_policy(client: Client, token_type: ua.UserTokenType, expected: Expected) -> ua.UserTokenPolicy:
    """The server's terms for a kind of user, the safest of them; raises DriverError where none is safe."""
    channel, place = client.security_policy, expected.place
    offered = [
        each if each.SecurityPolicyUri else replace(each, SecurityPolicyUri=channel.URI)
        for each in client._policy_ids or ()
        if each.TokenType == token_type
    ]
    if token_type == ua.UserTokenType.Anonymous:
        return offered[0] if offered else ua.UserTokenPolicy(TokenType=token_type, SecurityPolicyUri=channel.URI)
    strength = {f"{POLICY}{name}": at for at, name in enumerate((*POLICIES, "Basic256", "Basic128Rsa15"))}
    encrypted = channel.Mode == ua.MessageSecurityMode.SignAndEncrypt
    readable = token_type == ua.UserTokenType.UserName and (encrypted or expected.plaintext)
    if not channel.peer_certificate and not encrypted:
        strength.clear()
    if readable:
        strength[UNSECURED] = len(strength)
    usable = [each for each in offered if each.SecurityPolicyUri in strength]
    if usable:
        return min(usable, key=lambda each: strength[each.SecurityPolicyUri])
    if token_type == ua.UserTokenType.UserName:
        raise password_readable(place)
    message = f"{place} cannot check a user's certificate on this connection"
    raise _permanent(message, 'write security = "auto"', Quality.REFUSED)


def password_readable(place: str) -> DriverError:
    """A password would have to be sent for everybody to read."""
    message = f"{place} wants the password readable on an unencrypted connection: it was not sent"
    remedy = (
        'write security = "auto", or have the server encrypt passwords; where the device cannot do either, '
        "plaintext_password = true sends it for everybody on this network to read"
    )
    return _permanent(message, remedy, Quality.REFUSED)


def _permanent(message: str, remedy: str, quality: Quality = Quality.CONNECTION) -> DriverError:
    return DriverError(message, kind=FailureKind.PERMANENT, quality=quality, remedy=remedy)
