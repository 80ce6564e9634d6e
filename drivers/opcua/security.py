"""How a connection is secured: which endpoint, which certificates, and as which user.

The server's list of endpoints is asked for without security, so nobody vouches for it. What it says is
used to choose; that the choice was right is checked against the list that comes with the session, over
the secured channel. Nothing here ever settles for less than the configuration asks for.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies, uacrypto
from asyncua.ua.uaerrors import UaError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from drivers.contract import Context, DriverError, FailureKind
from drivers.opcua import trust
from drivers.opcua.options import BROKEN_POLICIES, POLICIES, Options, Security
from drivers.opcua.refusals import refused
from drivers.quality import Quality

_PREFIX = "http://opcfoundation.org/UA/SecurityPolicy#"
_NONE = f"{_PREFIX}None"
_BINARY = "uatcp-uasc-uabinary"
_CLASSES: dict[str, type[security_policies.SecurityPolicy]] = {
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
}
_TOKENS = {
    ua.UserTokenType.Anonymous: "anonymous",
    ua.UserTokenType.UserName: "user name",
    ua.UserTokenType.Certificate: "certificate",
    ua.UserTokenType.IssuedToken: "issued token",
}


async def secure(client: Client, options: Options, context: Context) -> str:
    """Prepare a new client: endpoint, policy, certificates, user. Call it before ``connect``.

    Returns what was chosen, such as ``Basic256Sha256, SignAndEncrypt``. Raises DriverError; it is
    permanent where nothing that the configuration allows is offered, or the server is not trusted.
    """
    place = options.place
    endpoints = await _endpoints(options)
    who = _token_type(options)
    offer = _choose(endpoints, options.wanted, who, place)
    now = datetime.fromtimestamp(context.now() / 1e6, UTC)
    _keep_path(client, options, offer)
    await _set_user(client, options)
    certificate = _certificate(offer)
    if options.wanted.none:
        client.application_uri = f"urn:{trust.NAME}"
        chosen = "none"
        if context.trust and options.username and certificate is not None:
            # What the password is encrypted for; once it is pinned, no other certificate gets it.
            for text in trust.check_server(certificate, place, context.device, context.state_dir, now, trust=True):
                context.tell(text)
    else:
        if certificate is None:
            raise _permanent(f"{place} shows no certificate", "have one made in the server, or use another policy")
        if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
            raise _permanent(
                f"the certificate of {place} has no RSA key", "have one with an RSA key made in the server"
            )
        own = await asyncio.to_thread(trust.application, context.state_dir, now)
        told = trust.check_server(certificate, place, context.device, context.state_dir, now, trust=context.trust)
        for text in told:
            context.tell(text)
        policy = _name(offer.SecurityPolicyUri)
        client.application_uri = own.uri
        applied = _CLASSES[policy](certificate, own.certificate, own.key, offer.SecurityMode)
        client.security_policy = applied  # type: ignore[assignment]
        client.uaclient.set_security(applied)
        chosen = f"{policy}, {offer.SecurityMode.name}"
    client.name = client.description = trust.NAME
    client.product_uri = f"urn:{trust.NAME}"
    _watch(client, _Expected(options.wanted, offer, certificate, who, place, context.state_dir))
    return chosen


def explain(error: BaseException, options: Options, context: Context) -> DriverError:
    """What a failure to connect means, with its remedy."""
    return refused(error, options, context.state_dir, options.place)


@dataclass(frozen=True, slots=True)
class _Expected:
    """What must hold of the session, now that it can be checked."""

    wanted: Security
    offer: ua.EndpointDescription
    certificate: x509.Certificate | None
    who: ua.UserTokenType
    place: str
    folder: Path | None


async def _endpoints(options: Options) -> list[ua.EndpointDescription]:
    place = options.place
    client = Client(options.endpoint, timeout=options.timeout_s)
    low = client.uaclient
    low.pre_request_hook = None
    try:
        async with asyncio.timeout(2 * options.timeout_s):
            # Not through the library, whose waiting can swallow a cancellation on Python 3.11.
            await asyncio.get_running_loop().create_connection(low._make_protocol, options.host, options.port)
            await client.send_hello()
            await client.open_secure_channel()
            found = list(await client.get_endpoints() or ())
            await client.close_secure_channel()
            return found
    except (OSError, TimeoutError, UaError, ValueError, TypeError, struct.error) as error:
        raise refused(error, options, None, place) from error
    finally:
        if low.protocol is not None and low.protocol.transport is not None:
            low.protocol.transport.abort()


def _choose(
    endpoints: Iterable[ua.EndpointDescription], wanted: Security, who: ua.UserTokenType, place: str
) -> ua.EndpointDescription:
    """The best endpoint that the configuration allows and the user may use; raises DriverError."""
    usable = [each for each in endpoints if _BINARY in (each.TransportProfileUri or _BINARY)]
    ranked = sorted(
        (each for each in usable if _rank(each, wanted) is not None), key=lambda each: _rank(each, wanted) or 0
    )
    for each in ranked:
        if _lets_in(each, who):
            return each
    if ranked:
        tokens = {_TOKENS.get(token.TokenType, "?") for each in ranked for token in each.UserIdentityTokens or ()}
        message = f"{place} lets nobody in by {_TOKENS[who]}, only by: {', '.join(sorted(tokens)) or 'nothing'}"
        remedy = (
            'give username and password = { file = "…" }' if "user name" in tokens else "change the user in the server"
        )
        raise _permanent(message, remedy, Quality.REFUSED)
    offered = sorted({_show(each) for each in usable})
    raise _not_offered(offered, wanted, place)


def _lets_in(endpoint: ua.EndpointDescription, who: ua.UserTokenType) -> bool:
    return any(token.TokenType == who for token in endpoint.UserIdentityTokens or ())


def _not_offered(offered: list[str], wanted: Security, place: str) -> DriverError:
    sound = [each for each in offered if each.partition(":")[0] in POLICIES]
    if wanted.none:
        message = f"{place} offers no connection without security, only: {', '.join(offered)}"
        return _permanent(message, 'write security = "auto"')
    if wanted == Security.parse("auto"):
        if offered == ["None"]:
            message = f"{place} offers no security at all"
            remedy = 'switch it on in the server; or write security = "none" if values may travel readable and unsigned'
            return _permanent(message, remedy)
        message = f"{place} offers nothing that is secure, only: {', '.join(offered) or 'nothing'}"
        broken = any(each.partition(":")[0] in BROKEN_POLICIES for each in offered)
        remedy = f"switch on {POLICIES[-1]} or newer in the server"
        return _permanent(message, remedy + ('; or write security = "none" if that is meant' if not broken else ""))
    asked = f"{wanted.policies[0]}" + (f":{wanted.modes[0]}" if len(wanted.modes) == 1 else "")
    message = f"{place} does not offer {asked}, only: {', '.join(offered) or 'nothing'}"
    return _permanent(
        message, f'write security = "{sound[0]}" or "auto"' if sound else f"switch on {asked} in the server"
    )


def _rank(endpoint: ua.EndpointDescription, wanted: Security) -> int | None:
    """0 is best; None: not allowed. An encrypted channel goes before the newer policy."""
    policy, mode = _name(endpoint.SecurityPolicyUri), _mode(endpoint)
    if wanted.none:
        return 0 if policy == "None" and endpoint.SecurityMode == ua.MessageSecurityMode.None_ else None
    if policy not in wanted.policies or mode not in wanted.modes:
        return None
    return wanted.modes.index(mode) * len(POLICIES) + wanted.policies.index(policy)


def _name(uri: str | None) -> str:
    return (uri or _NONE).rpartition("#")[2]


def _mode(endpoint: ua.EndpointDescription) -> str:
    return str(getattr(endpoint.SecurityMode, "name", endpoint.SecurityMode))


def _show(endpoint: ua.EndpointDescription) -> str:
    policy = _name(endpoint.SecurityPolicyUri)
    return policy if policy == "None" else f"{policy}:{_mode(endpoint)}"


def _certificate(endpoint: ua.EndpointDescription) -> x509.Certificate | None:
    """The server's certificate; what may follow it in a chain is left out."""
    if not endpoint.ServerCertificate:
        return None
    try:
        found: x509.Certificate = uacrypto.x509_from_der(endpoint.ServerCertificate)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise _permanent("the server shows something that is no certificate", "have one made in the server") from error
    return found


def _keep_path(client: Client, options: Options, offer: ua.EndpointDescription) -> None:
    """Servers name themselves by hosts that nobody can reach; of what they say only the path is used."""
    ours = urlsplit(options.endpoint)
    with suppress(ValueError):
        path = urlsplit(offer.EndpointUrl or "").path
        if ours.path in ("", "/") and path not in ("", "/"):
            client._server_url = client._server_url._replace(path=path)


def _token_type(options: Options) -> ua.UserTokenType:
    if options.certificate:
        return ua.UserTokenType.Certificate
    return ua.UserTokenType.UserName if options.username else ua.UserTokenType.Anonymous


async def _set_user(client: Client, options: Options) -> None:
    if options.username:
        client.set_user(options.username)
        client.set_password(options.password)
    elif options.certificate:
        found = await asyncio.to_thread(_read_user, Path(options.certificate), Path(options.private_key))
        client.user_certificate, client.user_private_key = found


def _read_user(certificate: Path, private_key: Path) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    path = certificate
    try:
        data = certificate.read_bytes()
        made = x509.load_pem_x509_certificate(data) if b"-----BEGIN" in data else x509.load_der_x509_certificate(data)
        path = private_key
        data = private_key.read_bytes()
        load = serialization.load_pem_private_key if b"-----BEGIN" in data else serialization.load_der_private_key
        key = load(data, None)
    except OSError as error:
        raise _permanent(f"the user's {path}: {error.strerror}", "make it readable for the agent's user") from error
    except (ValueError, TypeError) as error:
        raise _permanent(f"the user's {path} cannot be read", "give an unencrypted PEM or DER file") from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != made.public_key():
        raise _permanent(f"{private_key} is not the RSA key of {certificate}", "give the pair that belongs together")
    return made, key


def _watch(client: Client, expected: _Expected) -> None:
    """Have the client check the session when it is created, and choose how a user's secret travels."""
    create_session = client.create_session

    async def checked() -> ua.CreateSessionResult:
        result = await create_session()
        _check_session(client, result, expected)
        return result

    def token_policy(token_type: ua.UserTokenType) -> ua.UserTokenPolicy:
        return _token_policy(client, token_type, expected.place)

    client.create_session = checked  # type: ignore[method-assign]
    client.server_policy = token_policy  # type: ignore[method-assign]


def _check_session(client: Client, result: ua.CreateSessionResult, expected: _Expected) -> None:
    ours = _rank(expected.offer, expected.wanted) or 0
    for each in result.ServerEndpoints or ():
        rank = _rank(each, expected.wanted)
        if rank is not None and rank < ours and _lets_in(each, expected.who):
            message = f"{expected.place} offers {_show(each)}, but its list of endpoints was without it"
            raise _permanent(message, "somebody on the network may have removed it: look for what is in between")
    shown, policy = expected.certificate, client.security_policy
    if not policy.peer_certificate and shown is not None:
        # Without security the server need not show it again; a password is encrypted with it.
        policy.peer_certificate = shown.public_bytes(serialization.Encoding.DER)
    if policy.peer_certificate and not trust.matches_pin(policy.peer_certificate, expected.place, expected.folder):
        now = trust.describe(x509.load_der_x509_certificate(policy.peer_certificate))
        message = f"the certificate of {expected.place} is not the trusted one; it shows {now}"
        raise _permanent(message, "find out why; if it was renewed: gongfu-edge check --connect --trust")


def _token_policy(client: Client, token_type: ua.UserTokenType, place: str) -> ua.UserTokenPolicy:
    """The server's terms for a kind of user, the safest of them; raises DriverError where none is safe."""
    channel = client.security_policy
    offered = [
        each if each.SecurityPolicyUri else replace(each, SecurityPolicyUri=channel.URI)
        for each in client._policy_ids or ()
        if each.TokenType == token_type
    ]
    if token_type == ua.UserTokenType.Anonymous:
        return offered[0] if offered else ua.UserTokenPolicy(TokenType=token_type, SecurityPolicyUri=channel.URI)
    strength = {f"{_PREFIX}{name}": rank for rank, name in enumerate((*POLICIES, "Basic256", "Basic128Rsa15"))}
    encrypted = channel.Mode == ua.MessageSecurityMode.SignAndEncrypt
    if encrypted and token_type == ua.UserTokenType.UserName:
        strength[_NONE] = len(strength)
    usable = [each for each in offered if each.SecurityPolicyUri in strength]
    if usable and (client.security_policy.peer_certificate or encrypted):
        return min(usable, key=lambda each: strength[each.SecurityPolicyUri])
    if token_type == ua.UserTokenType.UserName:
        message = f"{place} wants the password readable on an unencrypted connection: it was not sent"
        remedy = 'write security = "auto", or have the server encrypt passwords'
        raise _permanent(message, remedy, Quality.REFUSED)
    message = f"{place} cannot check a user's certificate on this connection"
    raise _permanent(message, 'write security = "auto"', Quality.REFUSED)


def _permanent(message: str, remedy: str, quality: Quality = Quality.CONNECTION) -> DriverError:
    return DriverError(message, kind=FailureKind.PERMANENT, quality=quality, remedy=remedy)
