"""How a connection is secured: which endpoint, which certificates, and as which user.

The server's list of endpoints is asked for without security, so nobody vouches for it. What it says is
used to choose; that the choice was right is checked against the list that comes with the session, over
the secured channel (:mod:`drivers.opcua.session`). Nothing here ever settles for less than the configuration
asks for.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.ua.uaerrors import UaStatusCodeError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from drivers.contract import Context, DriverError, FailureKind
from drivers.opcua import trust
from drivers.opcua.channel import connect, open_channel
from drivers.opcua.endpoints import choose, encrypts_passwords, name_of
from drivers.opcua.options import Options
from drivers.opcua.reading import line, reading
from drivers.opcua.refusals import Clocks, refused
from drivers.opcua.session import Expected, leading_certificate, password_readable
from drivers.opcua.transport import Transport
from drivers.quality import Quality

_CLASSES: dict[str, type[security_policies.SecurityPolicy]] = {
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
}


async def secure(client: Client, options: Options, context: Context) -> Expected:
    """Prepare a new client: endpoint, policy, certificates, user. Call it before it connects.

    Returns what was chosen, and what must hold of the session. Raises DriverError; it is permanent where
    nothing that the configuration allows is offered, or the server is not trusted.
    """
    place = options.place
    who = _token_type(options)
    offer = choose(await _endpoints(options, context), options.wanted, who, place)
    _keep_path(client, options, offer)
    await _set_user(client, options)
    client.name = client.description = trust.NAME
    client.product_uri = f"urn:{trust.NAME}"
    now = datetime.fromtimestamp(context.now() / 1e6, UTC)
    if options.wanted.none:
        client.application_uri = f"urn:{trust.NAME}"
        certificate, chosen = _for_password(options, context, offer, now), "none"
    else:
        certificate, chosen = await _secured(client, options, context, offer, now)
    return Expected(
        chosen, options.wanted, offer, certificate, who, place, context.state_dir, options.plaintext_password
    )


def _for_password(
    options: Options, context: Context, offer: ua.EndpointDescription, now: datetime
) -> x509.Certificate | None:
    """Without security: the certificate that a password is encrypted for, which must be the device's own."""
    if not options.username:
        return None  # nothing needs it, so it may be as faulty as it likes
    if not encrypts_passwords(offer) or not offer.ServerCertificate:
        if not options.plaintext_password:
            raise password_readable(options.place)
        return None
    certificate = _certificate(offer, options.place)
    if context.trust or not options.plaintext_password:
        told = trust.check_server(
            certificate, options.place, context.device, context.state_dir, now, trust=context.trust
        )
        for text in told:
            context.tell(text)
    return certificate


async def _secured(
    client: Client, options: Options, context: Context, offer: ua.EndpointDescription, now: datetime
) -> tuple[x509.Certificate, str]:
    place = options.place
    if not offer.ServerCertificate:
        raise _permanent(f"{place} shows no certificate", "have one made in the server, or use another policy")
    certificate = _certificate(offer, place)
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        raise _permanent(f"the certificate of {place} has no RSA key", "have one with an RSA key made in the server")
    own = await asyncio.to_thread(
        trust.application, context.state_dir, now, clock_trusted=context.clock_trusted(), tell=context.tell
    )
    told = trust.check_server(certificate, place, context.device, context.state_dir, now, trust=context.trust)
    for text in told:
        context.tell(text)
    policy = name_of(offer)
    client.application_uri = own.uri
    applied = _CLASSES[policy](certificate, own.certificate, own.key, offer.SecurityMode)
    client.security_policy = applied  # type: ignore[assignment]
    client.uaclient.set_security(applied)
    return certificate, f"{policy}, {offer.SecurityMode.name}"


def explain(
    error: BaseException, options: Options, context: Context, client: Client, *, securing: bool = True
) -> DriverError:
    """What a failure to connect means, with its remedy. ``securing``: it may be about our certificate."""
    protocol = client.uaclient.protocol
    server = protocol.server_time if isinstance(protocol, Transport) else None
    clocks = Clocks(server, datetime.fromtimestamp(context.now() / 1e6, UTC))
    return refused(error, options, context.state_dir if securing else None, options.place, clocks)


async def _endpoints(options: Options, context: Context) -> list[ua.EndpointDescription]:
    client = Client(options.endpoint, timeout=options.timeout_s)
    client.uaclient.pre_request_hook = None
    try:
        async with asyncio.timeout(2 * options.timeout_s):
            with reading("its list of endpoints", UaStatusCodeError):
                await connect(client, options)
                await open_channel(client)
                found = list(await client.get_endpoints() or ())
                await client.close_secure_channel()
                return found
    except (OSError, ValueError, UaStatusCodeError) as error:
        raise explain(error, options, context, client, securing=False) from error
    finally:
        if client.uaclient.protocol is not None and client.uaclient.protocol.transport is not None:
            client.uaclient.protocol.transport.abort()


def _certificate(endpoint: ua.EndpointDescription, place: str) -> x509.Certificate:
    """The server's certificate; what may follow it in a chain is left out."""
    try:
        found = x509.load_der_x509_certificate(leading_certificate(endpoint.ServerCertificate) or b"")
        found.public_key()
        _ = found.extensions, found.subject, found.not_valid_after_utc
    except Exception as error:
        # A foreign certificate fails in many ways, and each is the server's.
        message = f"the certificate of {place} cannot be read: {line(error)}"
        remedy = (
            "have a new certificate made in the server, by a tool that keeps to the rules of DER; "
            'or write security = "none" if values may travel readable and unsigned'
        )
        raise _permanent(message, remedy) from error
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


def _permanent(message: str, remedy: str, quality: Quality = Quality.CONNECTION) -> DriverError:
    return DriverError(message, kind=FailureKind.PERMANENT, quality=quality, remedy=remedy)
