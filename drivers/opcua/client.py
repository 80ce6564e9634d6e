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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.status_codes import get_name_and_doc
from asyncua.ua.ua_binary import nodeid_to_binary, struct_from_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from drivers.contract import Context, DriverError, FailureKind
from drivers.opcua import session
from drivers.opcua.channel import connect, lifetime_s, open_channel, renew
from drivers.opcua.clocks import difference
from drivers.opcua.options import Options
from drivers.opcua.reading import TooMuch, line, reading
from drivers.opcua.remedies import remedy
from drivers.opcua.security import explain, secure
from drivers.opcua.status import quality
from drivers.opcua.transport import Transport
from drivers.opcua.values import Refused
from drivers.quality import Quality

# It says at WARNING and ERROR what is returned to us as an error anyway. Whoever sets a level wants to hear it.
if logging.getLogger("asyncua").level == logging.NOTSET:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)

_RENEW_AT = 0.75
_QUIET_AT = 1 / 3
"""Of the session's timeout: so long may nothing be asked before something is."""
_QUIET_S = (1.0, 20.0)
_RENEWAL_S = (0.5, 2700.0)
"""Between two renewals, whatever lifetime the server grants."""
_GOODBYE_S = 1.0
_WINDOWS_EPOCH_S = 11_644_473_600
_HEADER = struct.Struct("<qIIiI3s")
"""Time, handle, diagnostics, audit entry, timeout hint and additional header of a request."""

FAILURES = (OSError, ValueError, UaStatusCodeError)
"""What a connection may raise where nobody made a mistake here."""
TOO_MUCH = frozenset({0x80100000, 0x80B80000, 0x80B90000, 0x80080000, 0x80800000})
"""BadTooManyOperations, BadRequestTooLarge, BadResponseTooLarge, BadEncodingLimitsExceeded, BadTcpMessageTooLarge."""
_SESSION_GONE = frozenset({0x80250000, 0x80260000, 0x80860000})
"""BadSessionIdInvalid, BadSessionClosed, BadSecureChannelClosed."""
_INVALID_TIMESTAMP = 0x80230000
TOO_LARGE = 0x80B90000
"""BadResponseTooLarge."""

_T = TypeVar("_T")


class Connection:
    """One connection, from :meth:`open` to :meth:`close`."""

    def __init__(self, options: Options, context: Context) -> None:
        self._client = Client(options.endpoint, timeout=options.timeout_s)
        self._client.uaclient.pre_request_hook = None
        self._options, self._context = options, context
        self._token = b""
        self._timer: asyncio.TimerHandle | None = None
        self._renew_at = self._quiet_s = 0.0
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

    @property
    def ended(self) -> bool:
        """Whether the connection is gone, whoever ended it."""
        protocol: Any = self._client.uaclient.protocol
        return protocol is None or protocol.transport is None

    @property
    def lost(self) -> bool:
        """Whether the connection or the session ended while nobody asked for anything, and for no fault of its."""
        protocol: Any = self._client.uaclient.protocol
        failure = protocol.failure if protocol is not None else None
        code = getattr(failure, "code", 0)
        return code in _SESSION_GONE or (isinstance(failure, OSError) and not isinstance(failure, TimeoutError))

    # -- coming and going ----------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, secure the channel, log in; raises DriverError. :meth:`close` it whatever happens."""
        client, options = self._client, self._options
        try:
            expected = await secure(client, options, self._context)
            self.security = expected.chosen
            async with asyncio.timeout(4 * options.timeout_s):
                with reading("its answer", UaStatusCodeError):
                    transport = await connect(client, options)
                    self._plan_renewal(await open_channel(client))
                    granted_s = await session.enter(client, expected, options.username, options.password)
        except FAILURES as error:
            raise explain(error, options, self._context, client) from error
        transport.trust()
        low, high = _QUIET_S
        # A server may name any number, or none at all.
        self._quiet_s = min(max(granted_s * _QUIET_AT, low), high) if granted_s > 0 else high
        self._token = nodeid_to_binary(client.uaclient.session.authentication_token)

    async def close(self) -> None:
        """Say good-bye where somebody listens, and let go of the socket. May be called twice."""
        self._rest()
        protocol: Any = self._client.uaclient.protocol
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
            self.broken = True
            self._client.uaclient.protocol = None
            protocol.give_up(ConnectionError("closed"))

    # -- keeping it alive ----------------------------------------------------------------------------

    def keep_alive(self, ask: Callable[[], bytes]) -> None:
        """From now on renew the channel in time, and send what ``ask`` gives whenever nobody asks anything.

        There is no task: a timer sends, and the answers arrive as callbacks.
        """
        self._rest()
        loop, protocol = asyncio.get_running_loop(), self._protocol()
        due = min(self._renew_at, protocol.sent_at + self._quiet_s)
        self._timer = loop.call_at(max(due, loop.time() + 0.1), self._keep_alive, ask)

    def _keep_alive(self, ask: Callable[[], bytes]) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        try:
            if now >= self._renew_at:
                self._plan_renewal(0.0)
                self._expect(renew(self._client), lambda token: self._renewed(token, ask))
            if now >= self._protocol().sent_at + self._quiet_s:
                self._expect(self.post(ask()), self._alive)
            self.keep_alive(ask)
        except (DriverError, *FAILURES) as error:
            self._lose(error)

    def _expect(self, answer: asyncio.Future[Any], take: Callable[[Any], None]) -> None:
        """Take an answer, or lose the connection if it does not come in time."""

        def came(future: asyncio.Future[Any]) -> None:
            late.cancel()
            if future.cancelled() or self.broken:
                return
            try:
                take(future.result())
            except FAILURES as error:
                self._lose(error)

        late = asyncio.get_running_loop().call_later(self.timeout_s, self._lose, TimeoutError("no answer"))
        answer.add_done_callback(came)

    def _renewed(self, token: Any, ask: Callable[[], bytes]) -> None:
        self._plan_renewal(lifetime_s(token))
        self.keep_alive(ask)

    def _alive(self, answer: Any) -> None:
        self.body(answer)

    def _plan_renewal(self, lifetime: float) -> None:
        low, high = _RENEWAL_S
        self._renew_at = asyncio.get_running_loop().time() + min(max(_RENEW_AT * (lifetime or high), low), high)

    def _lose(self, error: BaseException) -> None:
        self.broken = True
        protocol: Any = self._client.uaclient.protocol
        if protocol is not None:
            protocol.give_up(error)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- services ------------------------------------------------------------------------------------

    async def call(self, request: Any, answer: type[_T]) -> _T:
        """Ask once, through the library's encoder and decoder; raises :class:`Fault` or another DriverError."""
        with self.classified(type(request).__name__.removesuffix("Request")):
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
        return self._protocol().post(request)

    async def exchange(self, request: bytes, service: str) -> bytes:
        """Send an encoded request and wait for the bytes of its answer; raises DriverError."""
        with self.classified(service):
            async with asyncio.timeout(self.timeout_s):
                return self.body(await self.post(request))

    def body(self, answer: Any) -> bytes:
        """The bytes of an answer; raises UaStatusCodeError when it is a fault of the service."""
        with reading("an answer", UaStatusCodeError):
            self._protocol().check_answer(answer, "")
        return bytes(answer)

    def _protocol(self) -> Transport:
        protocol: Any = self._client.uaclient.protocol
        if protocol is None or protocol.transport is None:
            self.broken = True
            failure = protocol and protocol.failure
            if isinstance(failure, FAILURES) and type(failure) is not ConnectionError:
                raise self.failure(failure) from failure
            raise DriverError(f"{self.where}: the connection was closed", remedy="see whether the server runs")
        return protocol  # type: ignore[no-any-return]

    # -- failures ------------------------------------------------------------------------------------

    def failure(self, error: BaseException, service: str = "") -> BaseException:
        """What went wrong, in the words of the contract; what is a bug stays what it is."""
        if isinstance(error, TooMuch):
            return Fault(TOO_LARGE, self.where, service)
        if isinstance(error, UaStatusCodeError | Refused):
            return self._fault(int(error.code), service)
        if not isinstance(error, FAILURES):
            return error
        self.broken = True
        if isinstance(error, TimeoutError):
            message, quality, remedy = "no answer", Quality.TIMEOUT, "check network and server; raise timeout"
        elif isinstance(error, ValueError):
            message, quality = f"not understood: {line(error)}", Quality.MALFORMED
            remedy = "check the url; if it is right, update the server"
        else:
            message = (isinstance(error, OSError) and error.strerror) or line(error)
            quality, remedy = Quality.CONNECTION, "check address, network and whether the server runs"
        return DriverError(f"{self.where}: {message}", kind=FailureKind.TRANSIENT, quality=quality, remedy=remedy)

    def _fault(self, code: int, service: str) -> Fault:
        fault = Fault(code, self.where, service)
        protocol: Any = self._client.uaclient.protocol
        if code & 0xFFFF0000 == _INVALID_TIMESTAMP and protocol is not None:
            ours = datetime.fromtimestamp(self._context.now() / 1e6, UTC)
            told, fault.remedy = difference(protocol.server_time, ours)
            fault.args = (f"{fault}: {told}",)
        return fault

    @contextmanager
    def classified(self, service: str = "") -> Iterator[None]:
        """Whatever goes wrong in here, over an answer of the server or the way there, is a DriverError."""
        try:
            with reading(f"the answer to {service or 'a request'}", UaStatusCodeError, Refused):
                yield
        except (*FAILURES, Refused) as error:
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
