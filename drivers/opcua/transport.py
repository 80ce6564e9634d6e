"""The socket of a connection: asyncua's messages, chunks and cryptography, within limits of our own.

Nothing that arrives is kept or decoded before it is bounded: the header of a chunk says its size, and a
size, number or sum beyond the limits ends the connection at once. What ended it is the error that everybody
who waits for an answer gets. A :class:`Transport` is used once.
"""

from __future__ import annotations

import asyncio
import struct
from datetime import datetime
from typing import Any, cast

from asyncua import ua
from asyncua.client.ua_client import UASocketProtocol, UASocketState
from asyncua.common.connection import MessageChunk, SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import (
    header_from_binary,
    nodeid_from_binary,
    struct_from_binary,
    struct_to_binary,
    uatcp_to_binary,
)
from asyncua.ua.uaerrors import UaStatusCodeError

from drivers.opcua.bounded import Bounded
from drivers.opcua.reading import Malformed, reading

MOST_BYTES = 16 * 2**20
"""Of a message."""
FIRST_BYTES = 2**20
"""Of a message while nobody is logged in: endpoints, certificates and the session are small."""
MOST_CHUNKS = 256
"""Of a message."""
CHUNK = 65_536
"""Bytes of a chunk, as we announce it and send at most."""
_LARGEST_CHUNK = 2**20
"""Some servers send larger ones than were announced, and say so in their acknowledge."""
_SMALLEST_CHUNK, _SPECIFIED_CHUNK = 1024, 8192
_REASON = 200
"""Characters of what a server says when it hangs up."""
_CHUNK_HEADERS = 64
_PREFIX = struct.Struct("<3scI")
_SECURED = (b"OPN", b"MSG", b"CLO")
_PLAIN = (b"ACK", b"ERR")
_FAULT = ObjectIds.ServiceFault_Encoding_DefaultBinary
_KIND: Any = ua.MessageType
"""Bytes in truth, whatever the library says."""
_TOO_LARGE, _COMMUNICATION = 0x80B80000, 0x80050000
"""BadRequestTooLarge, BadCommunicationError."""


class Limits(TransportLimits):
    """What may be sent and received.

    In an acknowledge the server speaks of itself: what *it* receives bounds our requests, and what it sends
    is what we have to take. The library takes it the other way round.
    """

    def __init__(self) -> None:
        super().__init__(CHUNK, CHUNK, MOST_CHUNKS, MOST_BYTES)
        self.request_bytes = self.request_chunks = 0
        """Of a request; 0: the server names no limit."""

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        """Learn from an acknowledge; raises :class:`Malformed` where nothing could be sent."""
        receives = int(msg.ReceiveBufferSize) or _SPECIFIED_CHUNK
        if receives < _SMALLEST_CHUNK:
            raise Malformed(f"the server receives no more than {receives} bytes at a time")
        self.max_send_buffer = min(receives, CHUNK)
        self.max_recv_buffer = min(max(int(msg.SendBufferSize), CHUNK), _LARGEST_CHUNK)
        self.request_bytes, self.request_chunks = int(msg.MaxMessageSize), int(msg.MaxChunkCount)

    def fits(self, body: int, crypto: Any) -> bool:
        """Whether the server takes a request with so many bytes."""
        most = MessageChunk.max_body_size(crypto, self.max_send_buffer)
        if self.request_chunks and body > self.request_chunks * most:
            return False
        # Some servers count the headers of the chunks, too.
        return not self.request_bytes or body + _CHUNK_HEADERS * -(-body // most) <= self.request_bytes


class _Channel(SecureConnection):
    """The library's secure channel; messages are put together here."""

    def __init__(self, policy: Any, limits: Limits) -> None:
        super().__init__(policy, limits)
        self.most_bytes = FIRST_BYTES

    def _receive(self, msg: MessageChunk) -> ua.Message | None:
        self._check_incoming_chunk(msg)
        self._incoming_parts.append(msg)
        self._incoming_size += len(msg.Body)
        if len(self._incoming_parts) > MOST_CHUNKS:
            raise Malformed(f"a message has more than {MOST_CHUNKS} chunks")
        if self._incoming_size > self.most_bytes:
            raise Malformed(f"a message has more than {self.most_bytes} bytes")
        if msg.MessageHeader.ChunkType == cast("Any", ua.ChunkType.Intermediate):
            return None
        parts = self._incoming_parts
        self._drop_incoming_parts()
        return ua.Message(parts)  # type: ignore[no-untyped-call]


class Transport(UASocketProtocol):
    """One connection to a server; ``timeout_s`` is that of a request."""

    def __init__(self, timeout_s: float, policy: Any) -> None:
        super().__init__(timeout_s, policy)
        self.limits = Limits()
        self._connection: _Channel = _Channel(policy, self.limits)
        self._buffer = bytearray()
        self._opening: tuple[int, ua.OpenSecureChannelParameters] | None = None
        self.failure: BaseException | None = None
        """What ended the connection."""
        self.sent_at = 0.0
        """When the last request was sent, by the loop's clock."""
        self.server_time: datetime | None = None
        """The server's clock in its last refusal."""

    def trust(self) -> None:
        """We are logged in: from now on answers may be long."""
        self._connection.most_bytes = MOST_BYTES

    # -- receiving -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take in what arrived; what breaks the protocol or a limit ends the connection."""
        if self.failure is not None:
            return
        self._buffer += data
        at = 0
        try:
            with reading("what the server sends", UaStatusCodeError):
                while (size := self._size(at)) and len(self._buffer) - at >= size:
                    with memoryview(self._buffer) as view:
                        message = bytes(view[at : at + size])
                    at += size
                    self._take(Bounded(message))
        except (ValueError, UaStatusCodeError, OSError) as error:
            self.give_up(error)
            return
        del self._buffer[:at]

    def _size(self, at: int) -> int:
        """Bytes of the chunk that begins at ``at``; 0: it cannot be said yet."""
        if len(self._buffer) - at < _PREFIX.size:
            return 0
        kind, part, size = _PREFIX.unpack_from(self._buffer, at)
        if kind not in (*_SECURED, *_PLAIN) or part not in (b"F", b"C", b"A"):
            raise Malformed(f"the server does not speak OPC UA: it begins with {bytes(kind + part)!r}")
        most = CHUNK if kind in _PLAIN else self.limits.max_recv_buffer
        if not _PREFIX.size < size <= most:
            raise Malformed(f"a chunk of {size} bytes, where at most {most} may come")
        return int(size)

    def _take(self, chunk: Bounded) -> None:
        header = header_from_binary(chunk)
        if header.MessageType == _KIND.Acknowledge:
            self._greeted(struct_from_binary(ua.Acknowledge, chunk))
        elif header.MessageType == _KIND.Error:
            raise _refused(chunk)
        else:
            message = self._connection.receive_from_header_and_body(header, chunk)
            if message is not None:
                self._answered(message)

    def _greeted(self, acknowledge: ua.Acknowledge) -> None:
        waiting = self._callbackmap.get(0)
        if waiting is None:
            raise Malformed("an acknowledge that nobody asked for")
        self.limits.update_client_limits(acknowledge)
        del self._callbackmap[0]
        if not waiting.done():
            waiting.set_result(acknowledge)

    def _answered(self, message: ua.Message) -> None:
        number, last = message._chunks[0].SequenceHeader.RequestId, message._chunks[-1]
        waiting = self._callbackmap.get(number)
        if waiting is None:
            raise Malformed(f"an answer to request {number}, which was not asked")
        self._give(waiting, number, message, last)
        # Only now: who waits for what cannot be read shall hear of it as well.
        del self._callbackmap[number]

    def _give(self, waiting: asyncio.Future[Any], number: int, message: ua.Message, last: MessageChunk) -> None:
        if last.MessageHeader.ChunkType == cast("Any", ua.ChunkType.Abort):
            status = struct_from_binary(ua.ErrorMessage, Bounded(last.Body)).Error
            _end(waiting, refusal(int(status.value) or _COMMUNICATION))
            return
        body = Bounded(b"".join(chunk.Body for chunk in message._chunks))
        if self._opening is not None and self._opening[0] == number:
            self._opened(waiting, body)
        elif last.MessageHeader.MessageType != _KIND.SecureMessage:
            raise Malformed("a secure channel that nobody asked for")
        elif not waiting.done():  # else nobody waits for it any more
            waiting.set_result(body)

    def _opened(self, waiting: asyncio.Future[Any], body: Bounded) -> None:
        assert self._opening is not None
        _, asked = self._opening
        self._opening = None
        try:
            self.check_answer(body, "")
            response: ua.OpenSecureChannelResponse = struct_from_binary(ua.OpenSecureChannelResponse, body)
            response.ResponseHeader.ServiceResult.check()
        except UaStatusCodeError as refused:
            _end(waiting, refused)
            return
        self._connection.set_channel(response.Parameters, asked.RequestType, asked.ClientNonce)
        if not waiting.done():
            waiting.set_result(response.Parameters.SecurityToken)

    def check_answer(self, data: Buffer, context: str) -> bool:
        """Raise what the server refused, if this is a refusal; its clock is taken note of."""
        kind = nodeid_from_binary(data.copy())
        if kind.NamespaceIndex or kind.Identifier != _FAULT:
            return True
        header = struct_from_binary(ua.ServiceFault, data.copy()).ResponseHeader
        self.server_time = header.Timestamp
        header.ServiceResult.check()
        raise Malformed("a refusal without a reason")

    # -- ending --------------------------------------------------------------------------------------

    def give_up(self, error: BaseException) -> None:
        """End the connection for this reason; whoever waits for an answer gets it."""
        self.failure = self.failure or error
        self._buffer = bytearray()
        self._connection._drop_incoming_parts()
        self._fail_all_pending(self.failure)  # type: ignore[arg-type]
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, whoever ended it."""
        self.state, self.transport = UASocketState.CLOSED, None
        self.give_up(exc or ConnectionError("connection lost"))

    # -- asking --------------------------------------------------------------------------------------

    async def greet(self, url: str) -> None:
        """Exchange limits; raises what ended the connection, or TimeoutError."""
        limits: tuple[Any, ...] = (0, CHUNK, CHUNK, MOST_BYTES, MOST_CHUNKS, url)
        waiting = self._callbackmap[0] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(self.timeout):
            self._socket().write(uatcp_to_binary(_KIND.Hello, ua.Hello(*limits)))
            await waiting

    def open_channel(self, params: ua.OpenSecureChannelParameters) -> asyncio.Future[ua.ChannelSecurityToken]:
        """Open or renew the secure channel: the future gives its token."""
        if self._opening is not None:
            raise Malformed("the secure channel is being opened already")
        request = ua.OpenSecureChannelRequest()
        request.Parameters = params
        waiting = self._send_request(request, self.timeout, _KIND.SecureOpen)
        self._opening = (self._request_id, params)
        return waiting

    def post(self, request: bytes) -> asyncio.Future[Any]:
        """Send an encoded request; the future gives the bytes of its answer. Raises UaStatusCodeError if too large."""
        return self._post(request, _KIND.SecureMessage)

    def _post(self, request: bytes, message_type: Any) -> asyncio.Future[Any]:
        socket = self._socket()
        self.revolve_security_token()
        if message_type == _KIND.SecureMessage and not self.limits.fits(
            len(request), self._connection.security_policy.symmetric_cryptography
        ):
            raise refusal(_TOO_LARGE)
        number = self._request_id + 1
        message = self._connection.message_to_binary(request, message_type=message_type, request_id=number)
        self._request_id = number
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._callbackmap[number] = answer
        self.sent_at = asyncio.get_running_loop().time()
        socket.write(message)
        return answer

    def _send_request(
        self, request: Any, timeout: float = 1, message_type: Any = _KIND.SecureMessage
    ) -> asyncio.Future[Any]:
        self._setup_request_header(request.RequestHeader, timeout)
        return self._post(struct_to_binary(request), message_type)

    async def send_request(
        self, request: Any, timeout: float | None = None, message_type: Any = _KIND.SecureMessage
    ) -> Buffer:
        """Ask, and wait for the bytes of the answer; raises UaStatusCodeError when it is a refusal."""
        within_s = self.timeout if timeout is None else timeout
        async with asyncio.timeout(within_s):
            data: Bounded = await self._send_request(request, within_s, message_type)
        self.check_answer(data, "")
        return data

    def _socket(self) -> asyncio.Transport:
        if self.transport is None or self.failure is not None:
            raise ConnectionError("connection lost") from self.failure
        return self.transport


def refusal(code: int) -> UaStatusCodeError:
    """The library's error for a status code."""
    return UaStatusCodeError(code)  # type: ignore[no-untyped-call]


def _refused(chunk: Bounded) -> Exception:
    """Why the server ends the connection."""
    again = chunk.copy()
    error = struct_from_binary(ua.ErrorMessage, chunk)
    if error.Error.is_bad():
        return refusal(int(error.Error.value))
    if str(error.Reason or "").startswith("http://opcfoundation.org/UA/SecurityPolicy#"):
        # node-opcua: a refusal of the secure channel, in the form of an answer, under the name of an error.
        again.skip(4)
        struct_from_binary(ua.AsymmetricAlgorithmHeader, again)
        struct_from_binary(ua.SequenceHeader, again)
        return refusal(int(struct_from_binary(ua.ServiceFault, again).ResponseHeader.ServiceResult.value))
    return Malformed(f"the server ends the connection: {str(error.Reason or 'it does not say why')[:_REASON]}")


def _end(waiting: asyncio.Future[Any], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
