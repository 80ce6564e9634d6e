"""A platform that does what a test tells it to, a forward proxy, and a private CA."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """One request as it arrived; ``body`` is uncompressed."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: object = None
    """Address and port that it came from."""


def _peer(request: web.Request) -> object:
    return request.transport.get_extra_info("peername") if request.transport else None


@dataclass
class ScriptedPlatform:
    """Stores digests by number and keeps their chain. ``faults`` are used up first, one a request."""

    url: str = ""
    stored: dict[int, bytes] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    tombstones: dict[int, str] = field(default_factory=dict)
    signatures: dict[int, str] = field(default_factory=dict)
    contract: str = "1.1"
    """Version of the contract that it speaks; empty: 1.0, without signatures."""
    date: str = ""
    """``Date`` of every answer; empty: the true one."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with each request; cleared by whoever waits for it."""
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: those who swallow or drip end."""

    def head(self) -> dict[str, Any]:
        hashes_by_seq = {seq: hashlib.sha256(body).hexdigest() for seq, body in self.stored.items()} | self.tombstones
        seq = max(hashes_by_seq, default=0)
        head: dict[str, Any] = {"seq": seq, "hash": hashes_by_seq.get(seq)}
        if self.contract and seq:
            head |= {"contract": self.contract, "signature": self.signatures.get(seq, "")}
        return head

    def statuses(self) -> list[dict[str, Any]]:
        """What was reported, in order."""
        return [json.loads(each.body) for each in self.seen if each.path.endswith("/status")]

    def puts(self) -> list[int]:
        """Numbers of the digests that were offered, in order."""
        return [
            int(each.path.rpartition("/")[2]) for each in self.seen if each.method == "PUT" and "/digests/" in each.path
        ]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()  # aiohttp undoes gzip
        self.seen.append(Seen(request.method, request.path, dict(request.headers), body, _peer(request)))
        self.arrived.set()
        answer = await (self.faults.pop(0)(request) if self.faults else self._behave(request, body))
        if self.date and not answer.prepared:
            answer.headers["Date"] = self.date
        return answer

    async def _behave(self, request: web.Request, body: bytes) -> web.Response:
        if request.path.endswith("/digests/head"):
            return web.json_response(self.head())
        if request.path.endswith("/enrollments"):
            return web.json_response({"gateway_id": "plant-7", "admins": {"keys": []}}, status=201)
        if request.path.endswith("/status"):
            return web.Response(status=204)
        seq = int(request.path.rpartition("/")[2])
        return self._deliver(seq, body, request.headers.get("Digest-Signature", ""))

    def _deliver(self, seq: int, body: bytes, signature: str) -> web.Response:
        digest_hash, head = hashlib.sha256(body).hexdigest(), self.head()
        if seq in self.stored:
            if self.stored[seq] != body:
                return problem(409, "other-bytes", head=head)
            return web.json_response({"seq": seq, "hash": digest_hash})
        previous = json.loads(body)["header"]["previous"]
        if seq != head["seq"] + 1 or previous != (head["hash"] or "0" * 64):
            return problem(422, "chain", head=head, stored=False)
        self.stored[seq], self.signatures[seq] = body, signature
        return web.json_response({"seq": seq, "hash": digest_hash}, status=201)


def problem(status: int, kind: str, headers: dict[str, str] | None = None, **members: Any) -> web.Response:
    """Problem details (RFC 9457)."""
    body = {"type": f"urn:gongfu:problem:{kind}", "title": kind, "status": status, **members}
    return web.json_response(body, status=status, headers=headers, content_type="application/problem+json")


def says(status: int, text: str = "", content_type: str = "text/plain", **headers: str) -> Fault:
    """A fault: always this answer. ``Retry_After="3"`` becomes a header."""

    async def fault(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, content_type=content_type, headers=named)

    return fault


def swallows(platform: ScriptedPlatform) -> Fault:
    """A fault: takes everything and never answers."""

    async def fault(request: web.Request) -> web.StreamResponse:
        await platform.held.wait()
        return web.Response(status=500)

    return fault


def drips(platform: ScriptedPlatform) -> Fault:
    """A fault: an answer that goes on and on, a byte at a time."""

    async def fault(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=201)
        await answer.prepare(request)
        with suppress(ConnectionError):
            while not platform.held.is_set():
                await answer.write(b" ")
                await asyncio.sleep(0.02)
        return answer

    return fault


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """A fault: closes the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError


async def half_an_answer(request: web.Request) -> web.StreamResponse:
    """A fault: promises more bytes than it sends."""
    answer = web.StreamResponse(status=201, headers={"Content-Length": "500", "Content-Type": "application/json"})
    await answer.prepare(request)
    await answer.write(b'{"seq": 1, "ha')
    assert request.transport is not None
    request.transport.abort()
    return answer


@asynccontextmanager
async def running(platform: ScriptedPlatform, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[int]:
    """Serve on loopback; sets ``platform.url`` and gives the port."""
    app = web.Application(client_max_size=20_000_000)
    app.router.add_route("*", "/{path:.*}", platform.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    platform.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/api/v1"
    try:
        yield port
    finally:
        platform.held.set()
        await runner.cleanup()


@dataclass
class ForwardProxy:
    """A forward proxy: CONNECT, and requests with an absolute address. ``lines``: what it was asked for."""

    lines: list[str] = field(default_factory=list)
    authorization: list[str] = field(default_factory=list)
    refuse: str = ""
    """A status line to answer everything with."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Listen on loopback; gives the port."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        first, *rest = request.decode("latin-1").split("\r\n")
        self.lines.append(first)
        self.authorization += [each for each in rest if each.lower().startswith("proxy-authorization:")]
        if self.refuse:
            writer.write(f"HTTP/1.1 {self.refuse}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        method, target, _ = first.split(" ")
        address = target if method == "CONNECT" else target.split("/")[2]
        host, _, port = address.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            far_writer.write(request.replace(f"http://{address}".encode(), b"", 1))
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def private_ca(folder: Path, address: str = "127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    """A CA of our own: (its certificate, a server context with a certificate that it issued)."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Plant CA")])

    def certificate(name: x509.Name, key: ec.EllipticCurvePrivateKey, is_ca: bool) -> x509.Certificate:
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if not is_ca:
            builder = builder.add_extension(alternative, critical=False)
        return builder.sign(ca_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    ca_file, chain, key_file = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    ca_file.write_bytes(certificate(ca_name, ca_key, is_ca=True).public_bytes(pem))
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    chain.write_bytes(certificate(server_name, server_key, is_ca=False).public_bytes(pem))
    key_file.write_bytes(server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key_file)
    return ca_file, context
