"""A connection to an OPC UA server: asyncua's socket, secure channel and session, and nothing above them.

Taken from the library: messages, chunks, cryptography, and the types of requests and answers. Not taken:
its tasks (supervisor, watchdog, publish loop), its reconnects and its decoding of values, which are the
framework's business or too slow. A :class:`Connection` is used once: what failed is closed and made anew.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState, UASocketProtocol
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import get_name_and_doc
from asyncua.ua.ua_binary import nodeid_to_binary, struct_from_binary
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from drivers.contract import Context, DriverError, FailureKind
from drivers.opcua.options import Options
from drivers.opcua.security import explain, secure
from drivers.opcua.status import quality, remedy
from drivers.quality import Quality

# It says at WARNING and ERROR what is returned to us as an error anyway. Whoever sets a level wants to hear it.
if logging.getLogger("asyncua").level == logging.NOTSET:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)

SESSION_S = 60.0
"""Session timeout that is asked for: a session whose connection was cut must not hold the server's few
places for long."""
_CHANNEL_S = 3600.0
_RENEW_AT = 0.75
_GOODBYE_S = 1.0
_WINDOWS_EPOCH_S = 11_644_473_600
_FAULT = b"\x01\x00" + struct.pack("<H", ObjectIds.ServiceFault_Encoding_DefaultBinary)
_HEADER = struct.Struct("<qIIiI3s")
"""Time, handle, diagnostics, audit entry, timeout hint and additional header of a request."""

FAILURES = (OSError, TimeoutError, UaError, struct.error, ValueError)
"""What a connection may raise where nobody made a mistake here."""

_T = TypeVar("_T")


class Connection:
    """One connection, from :meth:`open` to :meth:`close`."""

    def __init__(self, options: Options, context: Context) -> None:
        self._client = Client(options.endpoint, timeout=options.timeout_s)
        self._client.uaclient.pre_request_hook = None
        self._client.name = self._client.description = "Gongfu Edge"
        self._client.product_uri = "urn:gongfu-edge"
        self._client.session_timeout = int(SESSION_S * 1000)
        self._client.secure_channel_timeout = int(_CHANNEL_S * 1000)
        self._options, self._context = options, context
        self._token = b""
        self._renew_at = 0.0
        self.where = options.endpoint
        """The server's address, for messages."""
        self.security = ""
        """What protects the connection, in words."""
        self.broken = False
        """Whether something failed, so that no answer is to be waited for any more."""

    @property
    def timeout_s(self) -> float:
        """Seconds to wait for an answer."""
        return self._options.timeout_s

    # -- coming and going ----------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, secure the channel, log in; raises DriverError. :meth:`close` it whatever happens."""
        client, options = self._client, self._options
        try:
            self.security = await secure(client, options, self._context)
            async with asyncio.timeout(options.timeout_s):
                await self._connect_socket()
            async with asyncio.timeout(3 * options.timeout_s):
                await client.send_hello()
                await client.open_secure_channel()
                self._plan_renewal()
                await client.create_session()
                await client.activate_session(options.username or None, options.password, client.user_certificate)
        except FAILURES as error:
            raise explain(error, options, self._context) from error
        self._token = nodeid_to_binary(client.uaclient.session.authentication_token)

    async def _connect_socket(self) -> None:
        # The library's own waiting can swallow a cancellation on Python 3.11.
        low = self._client.uaclient
        low._set_state(UaClientState.CONNECTING)
        loop, options = asyncio.get_running_loop(), self._options
        await loop.create_connection(low._make_protocol, options.host, options.port)
        low._set_state(UaClientState.SOCKET_OPEN)

    async def close(self) -> None:
        """Say good-bye where somebody listens, and let go of the socket. May be called twice."""
        protocol = self._client.uaclient.protocol
        if protocol is None:
            return
        try:
            if not self.broken and self._token and protocol.transport is not None:
                self.broken = True
                with suppress(DriverError):
                    async with asyncio.timeout(_GOODBYE_S):
                        await self.call(ua.CloseSessionRequest(DeleteSubscriptions=True), ua.CloseSessionResponse)
                        await self._client.close_secure_channel()
        except TimeoutError:
            pass
        finally:
            self._abort(protocol)

    def _abort(self, protocol: UASocketProtocol) -> None:
        self.broken = True
        if protocol.transport is not None:
            protocol.transport.abort()
        self._client.uaclient.protocol = None
        protocol._fail_all_pending(ConnectionError("closed"))

    def _plan_renewal(self) -> None:
        self._renew_at = time.monotonic() + _RENEW_AT * self._client.secure_channel_timeout / 1000

    async def renew(self) -> None:
        """Renew the secure channel when it is time to; call it often."""
        if time.monotonic() >= self._renew_at:
            with self._classified():
                await self._client.open_secure_channel(renew=True)
                self._client.uaclient.revolve_security_token()
            self._plan_renewal()

    # -- services ------------------------------------------------------------------------------------

    async def call(self, request: Any, answer: type[_T]) -> _T:
        """Ask once, through the library's encoder and decoder; raises :class:`Fault` or another DriverError."""
        with self._classified(type(request).__name__.removesuffix("Request")):
            data = await self._protocol().send_request(request, self.timeout_s)
            decoded: Any = struct_from_binary(answer, data)
            decoded.ResponseHeader.ServiceResult.check()
        return decoded  # type: ignore[no-any-return]

    def head(self, type_id: int, timeout_s: float) -> bytes:
        """Type id and header of a request that is encoded by hand."""
        protocol = self._protocol()
        protocol._request_handle += 1
        ticks = (time.time_ns() // 100) + _WINDOWS_EPOCH_S * 10_000_000
        rest = _HEADER.pack(ticks, protocol._request_handle, 0, -1, int(timeout_s * 1000), b"\0\0\0")
        return b"\x01\x00" + struct.pack("<H", type_id) + self._token + rest

    def post(self, request: bytes) -> asyncio.Future[Any]:
        """Send an encoded request; the future gives the answer as the library's buffer of bytes."""
        protocol = self._protocol()
        protocol.revolve_security_token()
        number = protocol._request_id + 1
        message = protocol._connection.message_to_binary(request, request_id=number)
        protocol._request_id = number
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        protocol._callbackmap[number] = answer
        assert protocol.transport is not None
        protocol.transport.write(message)
        return answer

    async def exchange(self, request: bytes, service: str) -> bytes:
        """Send an encoded request and wait for the bytes of its answer; raises DriverError."""
        with self._classified(service):
            async with asyncio.timeout(self.timeout_s):
                return self.body(await self.post(request))

    def body(self, answer: Any) -> bytes:
        """The bytes of an answer; raises UaStatusCodeError when it is a fault of the service."""
        body = bytes(answer)
        if body.startswith(_FAULT):
            struct_from_binary(ua.ServiceFault, answer).ResponseHeader.ServiceResult.check()
        return body

    def _protocol(self) -> UASocketProtocol:
        protocol = self._client.uaclient.protocol
        if protocol is None or protocol.transport is None:
            self.broken = True
            raise DriverError(f"{self.where}: the connection was closed", remedy="see whether the server runs")
        return protocol

    # -- failures ------------------------------------------------------------------------------------

    def failure(self, error: BaseException, service: str = "") -> BaseException:
        """What went wrong, in the words of the contract; what is a bug stays what it is."""
        if not isinstance(error, FAILURES):
            return error
        if isinstance(error, UaStatusCodeError):
            return Fault(int(error.code), self.where, service)
        self.broken = True
        if isinstance(error, TimeoutError):
            message, quality, remedy = "no answer", Quality.TIMEOUT, "check network and server; raise timeout"
        elif isinstance(error, UaError | struct.error | ValueError):
            message, quality, remedy = f"not understood: {_line(error)}", Quality.MALFORMED, "check the url"
        else:
            message = (isinstance(error, OSError) and error.strerror) or _line(error)
            quality, remedy = Quality.CONNECTION, "check address, network and whether the server runs"
        return DriverError(f"{self.where}: {message}", kind=FailureKind.TRANSIENT, quality=quality, remedy=remedy)

    @contextmanager
    def _classified(self, service: str = "") -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise self.failure(error, service) from error


class Fault(DriverError):
    """The server's refusal of a request as a whole; ``code`` is its status code."""

    def __init__(self, code: int, where: str, service: str) -> None:
        message = f"{where}: {service or 'request'} refused: {status_name(code)}"
        super().__init__(message, quality=quality(code), remedy=remedy(code))
        self.code = code


def status_name(code: int) -> str:
    """A status code as the specification calls it."""
    name: str = get_name_and_doc(code & 0xFFFF0000)[0]
    return name


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
