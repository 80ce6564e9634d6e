"""An OPC UA server made by hand, for answers that no library would send.

It speaks without security and honestly, until a test gives it other answers::

    async with Hostile(Read=lambda request: b"…") as server:
        ...   # server.url, server.requests

An answer is a structure of the library, bytes that stand for the whole message body, a :class:`Raw` that is
sent as it stands, an iterator of such, a future of any of them, or None for no answer at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

_ENCODED = "_Encoding_DefaultBinary"
_NAMES = {
    number: name.removesuffix(f"Request{_ENCODED}")
    for name, number in vars(ua.ObjectIds).items()
    if name.endswith(f"Request{_ENCODED}")
}
NONE = "http://opcfoundation.org/UA/SecurityPolicy#None"
CHANNEL, TOKEN = 7, 1


class Raw(bytes):
    """Bytes to be sent as they stand, instead of a message."""


class Refuse(ua.UaError):
    """A service fault; ``at``: the server's clock."""

    def __init__(self, name: str, at: datetime | None = None) -> None:
        super().__init__(name)
        self.name, self.at = name, at


class Hostile:
    """One server on a port of its own."""

    def __init__(self, acknowledge: tuple[int, int, int, int] = (65536, 65536, 0, 0), **answers: Callable[..., Any]):
        """``acknowledge``: receive and send buffer, message size, chunk count. ``answers``: by service."""
        self.acknowledge, self.answers = acknowledge, answers
        self.requests: Counter[str] = Counter()
        self.sizes: list[int] = []
        """Bytes of each chunk that arrived."""
        self.sent = 0
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Hostile:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Where it is."""
        return f"opc.tcp://127.0.0.1:{self.port}"

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        client = _Client(self, writer)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                while True:
                    head = await reader.readexactly(8)
                    size = struct.unpack("<I", head[4:])[0]
                    self.sizes.append(size)
                    await client.take(head, await reader.readexactly(size - 8))
        finally:
            writer.close()
            self._tasks.discard(task)


class _Client:
    def __init__(self, server: Hostile, writer: asyncio.StreamWriter) -> None:
        self._server, self._writer = server, writer
        self._sequence, self._parts = 0, b""

    async def take(self, head: bytes, body: bytes) -> None:
        kind = head[:3]
        if kind == b"HEL":
            await self._answer("Hello", lambda _: Raw(acknowledge(*self._server.acknowledge)), None, 0, b"ACK")
            return
        body = body[4:]
        buffer = Buffer(body)
        if kind == b"OPN":
            struct_from_binary(ua.AsymmetricAlgorithmHeader, buffer)
        else:
            struct_from_binary(ua.SymmetricAlgorithmHeader, buffer)
        sequence = struct_from_binary(ua.SequenceHeader, buffer)
        self._parts += bytes(buffer.read(len(buffer)))
        if head[3:4] != b"F" or kind == b"CLO":
            return
        whole, self._parts = self._parts, b""
        service = _NAMES.get(nodeid_from_binary(Buffer(whole)).Identifier, "?")
        self._server.requests[service] += 1
        request = struct_from_binary(getattr(ua, f"{service}Request"), Buffer(whole))
        await self._answer(service, HONEST.get(service, refuse("BadServiceUnsupported")), request, sequence, kind)

    async def _answer(self, service: str, honest: Callable[..., Any], request: Any, sequence: Any, kind: bytes) -> None:
        try:
            answer = self._server.answers.get(service, honest)(request)
        except Refuse as refused:
            answer = ua.ServiceFault()
            answer.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(getattr(ua.StatusCodes, refused.name)))
            answer.ResponseHeader.Timestamp = refused.at or datetime.now(UTC)
        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(lambda done: self._later(done, request, sequence, kind))
            return
        await self._finish(answer, request, sequence, kind)

    def _later(self, done: asyncio.Future[Any], request: Any, sequence: Any, kind: bytes) -> None:
        if not done.cancelled():
            task = asyncio.ensure_future(self._finish(done.result(), request, sequence, kind))
            self._server._tasks.add(task)
            task.add_done_callback(self._server._tasks.discard)

    async def _finish(self, answer: Any, request: Any, sequence: Any, kind: bytes) -> None:
        if answer is None:
            return
        if isinstance(answer, Iterator):
            for part in answer:
                await self.send(part)
            return
        if not isinstance(answer, bytes):
            answer.ResponseHeader.RequestHandle = request.RequestHeader.RequestHandle
            answer = bytes(struct_to_binary(answer))
        if not isinstance(answer, Raw):
            answer = self.message(answer, sequence.RequestId, kind)
        await self.send(answer)

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(data), 65536):
                self._writer.write(data[at : at + 65536])
                await self._writer.drain()
                self._server.sent += len(data[at : at + 65536])

    def message(self, body: bytes, number: int, kind: bytes) -> bytes:
        parts = [body[at : at + 60_000] for at in range(0, max(1, len(body)), 60_000)]
        made = []
        for part in parts:
            self._sequence += 1
            made.append(chunk(part, number, self._sequence, b"F" if part is parts[-1] else b"C", kind))
        return b"".join(made)


def chunk(part: bytes, number: int, sequence: int, end: bytes = b"F", kind: bytes = b"MSG") -> bytes:
    """A chunk of a message; ``end``: C for one that is followed by others."""
    if kind == b"OPN":
        security = struct_to_binary(ua.AsymmetricAlgorithmHeader(NONE, None, None))
    else:
        security = struct.pack("<I", TOKEN)
    rest = struct.pack("<I", CHANNEL) + security + struct.pack("<II", sequence, number) + part
    return kind + end + struct.pack("<I", 8 + len(rest)) + rest


def acknowledge(receives: int, sends: int, message: int, chunks: int) -> bytes:
    """An acknowledge of a hello."""
    return b"ACKF" + struct.pack("<I5I", 28, 0, receives, sends, message, chunks)


def error(code: int, reason: str = "") -> Raw:
    """An error message, as it is sent before the connection is closed."""
    said = reason.encode()
    return Raw(b"ERRF" + struct.pack("<IIi", 16 + len(said), code, len(said)) + said)


def refuse(name: str, at: datetime | None = None) -> Callable[..., Any]:
    """An answer that is a fault with this status code."""

    def answer(_: Any) -> Any:
        raise Refuse(name, at)

    return answer


def opened(request: Any) -> Any:
    """A secure channel."""
    made = ua.OpenSecureChannelResponse()
    made.Parameters.SecurityToken.ChannelId = CHANNEL
    made.Parameters.SecurityToken.TokenId = TOKEN
    made.Parameters.SecurityToken.RevisedLifetime = request.Parameters.RequestedLifetime
    made.Parameters.ServerNonce = b""
    return made


def endpoint(**fields: Any) -> ua.EndpointDescription:
    """An endpoint without security that lets anybody in."""
    made = ua.EndpointDescription()
    made.EndpointUrl, made.SecurityPolicyUri = "opc.tcp://127.0.0.1:4840", NONE
    made.SecurityMode = ua.MessageSecurityMode.None_
    made.UserIdentityTokens = [ua.UserTokenPolicy("anonymous", ua.UserTokenType.Anonymous)]
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def endpoints(*given: ua.EndpointDescription) -> Callable[..., Any]:
    """An answer that lists these endpoints."""

    def answer(_: Any) -> Any:
        made = ua.GetEndpointsResponse()
        made.Endpoints = list(given)
        return made

    return answer


def session(*given: ua.EndpointDescription, timeout_ms: float = 60_000.0, **fields: Any) -> Callable[..., Any]:
    """An answer that makes a session with these endpoints."""

    def answer(_: Any) -> Any:
        made = ua.CreateSessionResponse()
        made.Parameters.SessionId, made.Parameters.AuthenticationToken = ua.NodeId(1, 1), ua.NodeId(2, 1)
        made.Parameters.RevisedSessionTimeout = timeout_ms
        made.Parameters.ServerEndpoints = list(given)
        for name, value in fields.items():
            setattr(made.Parameters, name, value)
        return made

    return answer


def read(request: Any) -> Any:
    """Values: what is asked of the server itself as it should be, 1.5 for everything else."""
    made = ua.ReadResponse()
    made.Results = [value(each.NodeId) for each in request.Parameters.NodesToRead]
    return made


def value(node: ua.NodeId) -> ua.DataValue:
    """The value of a node."""
    known: dict[Any, ua.Variant] = {
        ua.ObjectIds.Server_NamespaceArray: ua.Variant(["http://opcfoundation.org/UA/", "urn:made"]),
        ua.ObjectIds.Server_ServerStatus_CurrentTime: ua.Variant(datetime.now(UTC)),
        ua.ObjectIds.Server_ServerStatus_BuildInfo_ProductName: ua.Variant("made by hand"),
        ua.ObjectIds.Server_ServerStatus_BuildInfo_SoftwareVersion: ua.Variant("1"),
        ua.ObjectIds.Server_ServerStatus_State: ua.Variant(0, ua.VariantType.Int32),
    }
    if node.NamespaceIndex == 0:
        if node.Identifier not in known:
            return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNodeIdUnknown)))
        return ua.DataValue(known[node.Identifier])
    return ua.DataValue(ua.Variant(1.5))


HONEST: dict[str, Callable[..., Any]] = {
    "OpenSecureChannel": opened,
    "GetEndpoints": endpoints(endpoint()),
    "CreateSession": session(endpoint()),
    "ActivateSession": lambda _: ua.ActivateSessionResponse(),
    "CloseSession": lambda _: ua.CloseSessionResponse(),
    "Read": read,
}
"""What it answers unless a test says otherwise; everything else is refused."""


class Telling:
    """A subscription: everything is notified once, and the server's clock with every notification.

    ``publishing_s``, ``sampling_s``: what it revises intervals to; None: what is asked for. ``room``: monitored
    items that it has room for; ``all_or_nothing``: a request of more is refused as a whole.
    :attr:`services` are the answers of a :class:`Hostile`.
    """

    def __init__(
        self,
        publishing_s: float | None = None,
        sampling_s: float | None = None,
        room: int = 10_000,
        *,
        all_or_nothing: bool = False,
    ) -> None:
        self.publishing_s, self.sampling_s, self.room = publishing_s, sampling_s, room
        self.all_or_nothing = all_or_nothing
        self.asked: dict[int, ua.MonitoredItemCreateRequest] = {}
        """Client handle → what was asked for."""
        self.wanted: list[float] = []
        """Publishing intervals that were asked for, in seconds."""
        self._news: list[int] = []
        self._sequence = self._generation = 0
        self._interval_s = 1.0

    @property
    def services(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {
            "CreateSubscription": self._create,
            "CreateMonitoredItems": self._monitor,
            "DeleteMonitoredItems": lambda _: ua.DeleteMonitoredItemsResponse(),
            "Publish": self._publish,
        }

    def _create(self, request: Any) -> Any:
        made, asked = ua.CreateSubscriptionResponse(), request.Parameters
        self._generation += 1
        self.asked, self._news, self._sequence = {}, [], 0
        self.wanted.append(asked.RequestedPublishingInterval / 1000)
        self._interval_s = self.publishing_s or self.wanted[-1]
        made.Parameters.SubscriptionId, made.Parameters.RevisedPublishingInterval = 1, self._interval_s * 1000
        made.Parameters.RevisedMaxKeepAliveCount = asked.RequestedMaxKeepAliveCount
        return made

    def _monitor(self, request: Any) -> Any:
        made, wanted = ua.CreateMonitoredItemsResponse(), len(request.Parameters.ItemsToCreate)
        if self.all_or_nothing and len(self.asked) + wanted > self.room:
            raise Refuse("BadTooManyMonitoredItems")
        for item in request.Parameters.ItemsToCreate:
            result, asked = ua.MonitoredItemCreateResult(), item.RequestedParameters
            if len(self.asked) >= self.room:
                result.StatusCode = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadTooManyMonitoredItems))
            else:
                self.asked[asked.ClientHandle] = item
                self._news.append(asked.ClientHandle)
                result.MonitoredItemId = asked.ClientHandle + 100
                result.RevisedSamplingInterval = (self.sampling_s or asked.SamplingInterval / 1000) * 1000
            made.Results.append(result)
        return made

    def _publish(self, _: Any) -> Any:
        loop = asyncio.get_running_loop()
        answer, generation = loop.create_future(), self._generation

        def tell() -> None:
            answer.set_result(self._notification() if generation == self._generation else None)

        loop.call_later(self._interval_s, tell)
        return answer

    def _notification(self) -> Any:
        made, change = ua.PublishResponse(), ua.DataChangeNotification()
        news, self._news = self._news, []
        clocks = [handle for handle, item in self.asked.items() if item.ItemToMonitor.NodeId.NamespaceIndex == 0]
        for handle in dict.fromkeys([*news, *clocks]):
            change.MonitoredItems.append(
                ua.MonitoredItemNotification(handle, value(self.asked[handle].ItemToMonitor.NodeId))
            )
        self._sequence += 1
        made.Parameters.SubscriptionId, made.Parameters.MoreNotifications = 1, False
        made.Parameters.NotificationMessage.SequenceNumber = self._sequence
        made.Parameters.NotificationMessage.NotificationData = [change]
        return made
