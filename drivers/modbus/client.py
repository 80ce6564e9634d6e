"""pymodbus, and nothing else of this package imports it.

Taken from it: transports and requests. Not taken: its framers, which believe a wrong length and give up
what follows noise; its retries and reconnects, which are the framework's business; its waiting, which on
Python 3.11 can swallow a cancellation; its lists of Python integers: an answer is handed on as the bytes that came.
"""

from __future__ import annotations

import asyncio
import logging
import random
import termios
from collections.abc import Callable
from typing import Any

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient, AsyncModbusUdpClient
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest
from pymodbus.transport.serialtransport import SerialTransport

from drivers.contract import DriverError
from drivers.modbus.framing import FRAMINGS
from drivers.modbus.matching import Matcher
from drivers.modbus.options import Link
from drivers.modbus.refused import refused, tls_context
from drivers.quality import Quality
from drivers.resolve import addresses, connect

READS: dict[int, type[ModbusPDU]] = {
    1: ReadCoilsRequest,
    2: ReadDiscreteInputsRequest,
    3: ReadHoldingRegistersRequest,
    4: ReadInputRegistersRequest,
}
"""Everything that is ever asked of a device, but for its identification (43/14)."""

# It says at ERROR what is returned to us as an error anyway. Whoever sets a level wants to hear it.
if logging.getLogger("pymodbus").level == logging.NOTSET:
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


def read_request(unit: int, function: int, address: int, count: int) -> ModbusPDU:
    """A request for registers or bits; it may be sent again and again."""
    return READS[function](dev_id=unit, address=address, count=count)


def identify_request(unit: int, code: int, first: int) -> ModbusPDU:
    """A request for the device's identification: ``code`` 1 is the basic one, from object ``first``."""
    return ReadDeviceInformationRequest(code, first, dev_id=unit)


class Connection:
    """One connection, made once and never again: whoever loses it makes a new one."""

    def __init__(self, link: Link, *, echoes_ids: bool | None = None, turn: int = 0) -> None:
        """Must be called in the event loop. ``echoes_ids``: whether the other side is known to send back
        transaction ids. ``turn``: connections before this one; where nobody says whether an address is right (UDP),
        each of a name has its turn."""
        self._link, self._turn = link, turn
        self._loop = asyncio.get_running_loop()
        self._manager: Any = _client(link, self._on_connection).ctx
        self.matcher = Matcher(FRAMINGS[link.transport], numbered=link.numbered, echoes_ids=echoes_ids)
        """What is known of the conversation."""
        self._manager.framer = self.matcher
        # What exceeds it is thrown away unheard; silence and a flood of nonsense are to be told apart.
        self._manager.max_buffer_size = 8192
        # Not from 1: a gateway that always sends the same number, or counts for itself, must not seem to be right.
        self._tid = random.randrange(0x1000, 0x8000)

    @property
    def connected(self) -> bool:
        """Whether it is believed to stand; a cable that was pulled is not noticed here."""
        return bool(self._manager.is_active())

    async def connect(self, timeout_s: float) -> None:
        """Connect; raises :class:`~drivers.modbus.refused.Refused`. Cancelled, it leaves nothing open."""
        try:
            if self._link.serial:
                self._manager.transport = self._open_serial()
            else:
                async with asyncio.timeout(timeout_s):
                    self._manager.transport = await self._open_network(timeout_s)
        except (OSError, ValueError, termios.error) as error:
            self.close()
            raise refused(self._link, error) from error
        except BaseException:
            self.close()
            raise

    async def exchange(self, request: ModbusPDU, timeout_s: float, size: int = 0, policy: str = "") -> bytes:
        """Send a request; the answer's PDU, whose function code is the request's or that plus 0x80.

        ``size``: bytes of data that the answer must have, if it is not a refusal; 0: any. ``policy``: see
        :meth:`~drivers.modbus.matching.Matcher.expect`.

        Raises :class:`DriverError`: TIMEOUT for silence, CONNECTION when the connection broke,
        MALFORMED when something came that was not the answer. After any of them, and when it was
        cancelled, something late may come: see :class:`~drivers.modbus.bus.Bus`.
        """
        manager, matcher = self._manager, self.matcher
        if not manager.is_active():
            raise DriverError("the connection broke", quality=Quality.CONNECTION)
        matcher.expect(request.function_code, size, policy)
        noise, manager.recv_buffer = matcher.noise, b""
        manager.response_future = future = self._loop.create_future()
        self._tid = self._tid % 0xFFFF + 1
        request.transaction_id = self._tid if self._link.numbered else 0
        deadline = self._loop.call_later(timeout_s, _expire, future)
        try:
            manager.pdu_send(request)
            pdu: bytes = (await future).pdu
        except TimeoutError as error:
            raise self._silence(noise, timeout_s) from error
        except OSError as error:
            raise DriverError("the connection broke", quality=Quality.CONNECTION) from error
        finally:
            deadline.cancel()
        if wrong := matcher.mismatch(pdu):
            raise DriverError(wrong, quality=Quality.MALFORMED, remedy=matcher.remedy)
        return pdu

    def close(self) -> None:
        """Close at once."""
        self._manager.close()

    def _silence(self, noise: int, timeout_s: float) -> DriverError:
        """What it means that nothing came which answers."""
        matcher = self.matcher
        if matcher.noise != noise:
            return DriverError(matcher.stray or "a garbled answer", quality=Quality.MALFORMED, remedy=matcher.remedy)
        if self._link.serial and matcher.noise and not matcher.answers:
            # Garbled answers may take longer than right ones; with nothing else ever heard it is no silence.
            return DriverError("garbled data and no answer", quality=Quality.MALFORMED)
        return DriverError(f"no answer within {timeout_s:g} s", quality=Quality.TIMEOUT)

    def _on_connection(self, connected: bool) -> None:
        # pymodbus would let whoever waits for an answer wait for the whole timeout.
        future = self._manager.response_future
        if not connected and not future.done():
            future.set_exception(ConnectionResetError())
            future.exception()  # seen, even when nobody waits

    async def _open_network(self, timeout_s: float) -> Any:
        link, protocol = self._link, self._manager.handle_new_connection
        if link.transport == "udp":
            found = await addresses(link.host, link.port)
            address = found[self._turn % len(found)]
            datagrams, _ = await self._loop.create_datagram_endpoint(protocol, remote_addr=address.sockaddr[:2])
            return datagrams
        tls = tls_context(link) if link.transport == "tls" else None
        sock = await connect(link.host, link.port, timeout_s)
        try:
            name = (link.tls[3] or link.host) if tls else None
            transport, _ = await self._loop.create_connection(protocol, sock=sock, ssl=tls, server_hostname=name)
        except BaseException:
            sock.close()
            raise
        return transport

    def _open_serial(self) -> SerialTransport:
        """As pymodbus does, but ready at once: closing it early leaves nothing behind to run."""
        parameters = self._manager.comm_params
        line = (parameters.baudrate, parameters.bytesize, parameters.parity, parameters.stopbits)
        transport = SerialTransport(self._loop, self._manager, self._link.host, *line, 0)
        transport.setup()
        return transport


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def _client(link: Link, trace: Callable[[bool], None]) -> Any:
    """pymodbus's object that knows how to send on such a link; it never connects by itself."""
    common: dict[str, Any] = {"reconnect_delay": 0, "retries": 0, "trace_connect": trace}
    if link.serial:
        common |= {"baudrate": link.baudrate, "parity": link.parity, "stopbits": link.stopbits}
        return AsyncModbusSerialClient(link.host, framer=FramerType.RTU, bytesize=link.bytesize, **common)
    if link.transport == "udp":
        return AsyncModbusUdpClient(link.host, port=link.port, **common)
    return AsyncModbusTcpClient(link.host, port=link.port, **common)
