"""An OPC UA server with certificates and users, for tests of security."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from asyncua import Server, ua
from asyncua.client.client import Client
from asyncua.crypto.cert_gen import generate_self_signed_app_certificate
from asyncua.server.user_managers import User, UserRole
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from drivers.contract import Context, DriverError
from drivers.opcua.client import Connection
from drivers.opcua.options import Options
from tests.support.opcua_space import Prepared
from tests.support.ports import free_port

URI = "urn:test:gongfu-edge:server"
HOST = "127.0.0.1"


@dataclass
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @classmethod
    def make(cls, name: str = "test server", days: int = 30) -> Pair:
        """A self-signed pair; ``days`` before today for one that has ended."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(URI), x509.DNSName(socket.gethostname())]
        if days > 0:
            return cls(generate_self_signed_app_certificate(key, name, {}, names, [], days), key)
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=400)).not_valid_after(
            now + datetime.timedelta(days=days)
        )
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def write(self, folder: Path, name: str = "user") -> tuple[str, str]:
        """As two files: a DER certificate and a PEM key."""
        (folder / f"{name}.der").write_bytes(self.der)
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        (folder / f"{name}.pem").write_bytes(self.key.private_bytes(pem, form, serialization.NoEncryption()))
        return str(folder / f"{name}.der"), str(folder / f"{name}.pem")


@dataclass
class Users:
    """Knows one user by name and one by certificate; ``seen``: (name, password) as they were sent."""

    certificate: bytes = b""
    seen: list[tuple[str | None, str | None]] = field(default_factory=list)

    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        self.seen.append((username, password))
        if username is not None:
            return User(UserRole.User, username) if (username, password) == ("operator", "s3cret") else None
        if self.certificate:
            return User(UserRole.User) if certificate == self.certificate else None
        return User(UserRole.User)


@asynccontextmanager
async def serving(
    policies: Sequence[ua.SecurityPolicyType],
    pair: Pair | None,
    *,
    port: int = 0,
    users: Users | None = None,
    tokens: Sequence[type] = (ua.AnonymousIdentityToken, ua.UserNameIdentityToken, ua.X509IdentityToken),
    advertised: str = "",
) -> AsyncIterator[tuple[Server, str]]:
    """A server and the url at which it is reached. ``advertised``: the url that it gives as its own."""
    server = Server(iserver=Prepared(user_manager=users))  # type: ignore[arg-type]
    await server.init()
    await server.set_application_uri(URI)
    port = port or free_port()
    url = f"opc.tcp://{HOST}:{port}"
    server.set_endpoint(advertised or url)
    server.socket_address = (HOST, port)
    if advertised:
        server.iserver.match_discovery_endpoint_url = False
        server.iserver.match_discovery_source_ip = False
    if pair is not None:
        server.iserver.certificate, server.iserver.private_key = pair.certificate, pair.key
    server.set_security_policy(list(policies))
    server.set_identity_tokens(list(tokens))
    async with server:
        yield server, url


@asynccontextmanager
async def tapped(port: int) -> AsyncIterator[tuple[int, bytearray]]:
    """A port that leads to ``port``, and all that clients send through it."""
    sent = bytearray()
    links: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tap: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if tap is not None:
                    tap += data
                writer.write(data)
        writer.close()

    async def link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        links.add(cast("asyncio.Task[None]", asyncio.current_task()))
        up, down = await asyncio.open_connection(HOST, port)
        await asyncio.gather(carry(reader, down, sent), carry(up, writer, None))

    proxy = await asyncio.start_server(link, HOST, 0)
    try:
        yield proxy.sockets[0].getsockname()[1], sent
    finally:
        proxy.close()
        for each in links:
            each.cancel()
        await asyncio.gather(*links, return_exceptions=True)


def context(folder: Path | None, *, trust: bool = False, now: int | None = None) -> Context:
    """A context of device ``cnc-1``."""
    return Context(
        device="cnc-1", now=lambda: time.time_ns() // 1000 if now is None else now, state_dir=folder, trust=trust
    )


@asynccontextmanager
async def connected(options: Options, ctx: Context) -> AsyncIterator[tuple[Client, str]]:
    """A client connected as the driver does it, and what was chosen; DriverErrors as the driver raises them."""
    connection = Connection(options, ctx)
    try:
        await connection.open()
        yield connection._client, connection.security
    finally:
        await connection.close()


async def failure(options: Options, ctx: Context) -> DriverError:
    """The error with which a connection is refused."""
    try:
        async with connected(options, ctx):
            pass
    except DriverError as error:
        return error
    raise AssertionError("the connection was not refused")
