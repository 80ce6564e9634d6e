"""pymodbus, and nothing else of this package imports it.

Taken from it: transports, requests, frames and their checks (CRC, LRC, length). Not taken: its retries
and reconnects, which are the framework's business; its waiting, which on Python 3.11 can swallow a
cancellation; its lists of Python integers: an answer is handed on as the bytes that came.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import struct
import termios
from collections.abc import Callable
from functools import partial
from typing import Any

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient, AsyncModbusTlsClient, AsyncModbusUdpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerAscii, FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest
from pymodbus.transport.serialtransport import SerialTransport

from drivers.contract import DriverError
from drivers.modbus.options import Link
from drivers.modbus.refused import refused, tls_context
from drivers.quality import Quality

READS: dict[int, type[ModbusPDU]] = {
    1: ReadCoilsRequest,
    2: ReadDiscreteInputsRequest,
    3: ReadHoldingRegistersRequest,
    4: ReadInputRegistersRequest,
}
"""Everything that is ever asked of a device, but for its identification (43/14)."""
IDENTIFY = 0x2B
_ASKED = frozenset((*READS, IDENTIFY))
_LONGEST_RTU = 256

# It says at ERROR what is returned to us as an error anyway. Whoever sets a level wants to hear it.
if logging.getLogger("pymodbus").level == logging.NOTSET:
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


def read_request(unit: int, function: int, address: int, count: int) -> ModbusPDU:
    """A request for registers or bits; it may be sent again and again."""
    return READS[function](dev_id=unit, address=address, count=count)


def identify_request(unit: int, code: int, first: int) -> ModbusPDU:
    """A request for the device's identification: ``code`` 1 is the basic one, from object ``first``."""
    return ReadDeviceInformationRequest(code, first, dev_id=unit)


class _Answer:
    """An answer as it came: ``pdu`` begins with the function code. Looks to pymodbus like its own."""

    __slots__ = ("dev_id", "pdu", "retries", "transaction_id")

    def __init__(self, dev_id: int, transaction_id: int, pdu: bytes) -> None:
        self.dev_id, self.transaction_id, self.pdu, self.retries = dev_id, transaction_id, pdu, 0


class _Whole(FramerBase):
    """What our framers add to pymodbus's: they keep the bytes, know what was asked, and never raise into
    the event loop."""

    heard = 0
    """Pieces of data since the connection was made."""
    stray = ""
    """What came instead of the answer, last."""
    _function = _size = 0

    def expect(self, function: int, size: int) -> None:
        """Say what is asked for: a function, and the bytes of data in its answer (0: any)."""
        self._function, self._size, self.stray = function, size, ""

    def mismatch(self, pdu: bytes) -> str:
        """Why this cannot be the answer to what was asked; empty when it can."""
        if pdu[0] & 0x7F != self._function:
            return f"an answer to function {pdu[0] & 0x7F}"
        if self._size and pdu[0] < 0x80 and (len(pdu) != self._size + 2 or pdu[1] != self._size):
            return f"{len(pdu) - 2} bytes of data instead of {self._size}"
        return ""

    def handleFrame(  # type: ignore[override]  # noqa: N802
        self, data: bytes, exp_devid: int, exp_tid: int
    ) -> tuple[int, _Answer | None]:
        """Take the first frame that answers the request; skip whatever does not."""
        self.heard += 1
        used = 0
        try:
            while used < len(data):
                length, unit, tid, pdu = self.decode(data[used:])
                used += length
                if not pdu:
                    break
                if tid != exp_tid:
                    self.stray = "an answer to another request"
                elif exp_devid and unit != exp_devid:
                    self.stray = f"an answer of unit {unit} instead of {exp_devid}"
                elif not exp_tid and (wrong := self.mismatch(pdu)):
                    # Without a number it may be the answer to something given up; ours may follow.
                    self.stray = wrong
                else:
                    return used, _Answer(unit, tid, pdu)
        except (ModbusException, ValueError, IndexError, struct.error):
            self.stray = "garbled data"
            return len(data), None
        return used, None


class _Socket(_Whole, FramerSocket):
    pass


class _Rtu(_Whole, FramerRTU):
    def decode(self, data: bytes) -> tuple[int, int, int, bytes]:
        """The first frame with a right checksum, wherever it begins.

        pymodbus's own gives up all that arrived when something at its head looks like a frame and is none:
        noise before an answer would cost the answer.
        """
        for start in range(len(data) - self.MIN_SIZE + 1):
            if data[start + 1] & 0x7F in _ASKED and (size := self._whole_at(data[start : start + _LONGEST_RTU])):
                return start + size, data[start], 0, data[start + 1 : start + size - 2]
        return max(0, len(data) - _LONGEST_RTU), 0, 0, b""  # a frame may still begin in the rest

    def _whole_at(self, data: bytes) -> int:
        """Bytes of the frame that ``data`` begins with; 0 when it is not whole or not sound."""
        kind = self.decoder.lookupPduClass(data)
        size = kind.calculateRtuFrameSize(data) if kind else 0
        if not self.MIN_SIZE <= size <= len(data):
            return 0
        return size if self.check_CRC(data[: size - 2], int.from_bytes(data[size - 2 : size], "big")) else 0


class _Ascii(_Whole, FramerAscii):
    def decode(self, data: bytes) -> tuple[int, int, int, bytes]:
        """The first line with a right checksum; a colon begins a new one, whatever came before.

        pymodbus's own takes a frame that was cut off and the next one for a single broken one.
        """
        used = 0
        while (end := data.find(b"\r\n", used)) >= 0:
            line, used = data[used:end].rpartition(b":")[2], end + 2
            try:
                body = binascii.a2b_hex(line)
            except ValueError:
                continue
            if len(body) >= 3 and self.check_LRC(body[:-1], body[-1]):
                return used, body[0], 0, body[1:-1]
        return used, 0, 0, b""


_FRAMERS: dict[str, tuple[FramerType, type[Any]]] = {
    "tcp": (FramerType.SOCKET, _Socket),
    "udp": (FramerType.SOCKET, _Socket),
    # pymodbus's own TLS framer takes whatever arrived for one frame.
    "tls": (FramerType.TLS, _Socket),
    "rtu": (FramerType.RTU, _Rtu),
    "ascii": (FramerType.ASCII, _Ascii),
    "rtu-over-tcp": (FramerType.RTU, _Rtu),
}


class Connection:
    """One connection, made once and never again: whoever loses it makes a new one."""

    def __init__(self, link: Link) -> None:
        """Must be called in the event loop. Raises :class:`~drivers.modbus.refused.Refused` for unusable TLS files."""
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._manager: Any = _client(link, self._on_connection).ctx
        self._framer: Any = _FRAMERS[link.transport][1](DecodePDU(False))
        self._manager.framer = self._framer
        # What exceeds it is thrown away unheard; silence and a flood of nonsense are to be told apart.
        self._manager.max_buffer_size = 8192

    @property
    def connected(self) -> bool:
        """Whether it is believed to stand; a cable that was pulled is not noticed here."""
        return bool(self._manager.is_active())

    @property
    def heard(self) -> int:
        """Pieces of data that arrived so far, whatever they were."""
        return int(self._framer.heard)

    async def connect(self, timeout_s: float) -> None:
        """Connect; raises :class:`~drivers.modbus.refused.Refused`. Cancelled, it leaves nothing open."""
        try:
            if self._link.serial:
                self._manager.transport = self._open_serial()
            else:
                async with asyncio.timeout(timeout_s):
                    self._manager.transport, _ = await self._manager.call_create()
        except (OSError, ValueError, termios.error) as error:
            self.close()
            raise refused(self._link, error) from error
        except BaseException:
            self.close()
            raise

    async def exchange(self, request: ModbusPDU, timeout_s: float, size: int = 0) -> bytes:
        """Send a request; the answer's PDU, whose function code is the request's or that plus 0x80.

        ``size``: bytes of data that the answer must have, if it is not a refusal; 0: any.

        Raises :class:`DriverError`: TIMEOUT for silence, CONNECTION when the connection broke,
        MALFORMED when something came that was not the answer. After any of them, and when it was
        cancelled, something late may come: see :class:`~drivers.modbus.bus.Bus`.
        """
        manager, framer = self._manager, self._framer
        if not manager.is_active():
            raise DriverError("the connection broke", quality=Quality.CONNECTION)
        framer.expect(request.function_code, size)
        heard, manager.recv_buffer = framer.heard, b""
        manager.response_future = future = self._loop.create_future()
        request.transaction_id = manager.getNextTID()
        deadline = self._loop.call_later(timeout_s, _expire, future)
        try:
            manager.pdu_send(request)
            pdu: bytes = (await future).pdu
        except TimeoutError as error:
            if framer.heard != heard:
                raise DriverError(framer.stray or "a garbled answer", quality=Quality.MALFORMED) from error
            raise DriverError(f"no answer within {timeout_s:g} s", quality=Quality.TIMEOUT) from error
        except OSError as error:
            raise DriverError("the connection broke", quality=Quality.CONNECTION) from error
        finally:
            deadline.cancel()
        if wrong := framer.mismatch(pdu):
            raise DriverError(wrong, quality=Quality.MALFORMED)
        return pdu

    def close(self) -> None:
        """Close at once."""
        self._manager.close()

    def _on_connection(self, connected: bool) -> None:
        # pymodbus would let whoever waits for an answer wait for the whole timeout.
        future = self._manager.response_future
        if not connected and not future.done():
            future.set_exception(ConnectionResetError())
            future.exception()  # seen, even when nobody waits

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
    common: dict[str, Any] = {"reconnect_delay": 0, "retries": 0, "trace_connect": trace}
    framer = _FRAMERS[link.transport][0]
    if link.serial:
        common |= {"baudrate": link.baudrate, "parity": link.parity, "stopbits": link.stopbits}
        return AsyncModbusSerialClient(link.host, framer=framer, bytesize=link.bytesize, **common)
    if link.transport == "udp":
        return AsyncModbusUdpClient(link.host, port=link.port, framer=framer, **common)
    if link.transport == "tls":
        client = AsyncModbusTlsClient(link.host, port=link.port, framer=framer, sslctx=tls_context(link), **common)
        if link.tls[3]:
            create: Any = client.ctx.call_create
            client.ctx.call_create = partial(create, server_hostname=link.tls[3])
        return client
    return AsyncModbusTcpClient(link.host, port=link.port, framer=framer, **common)
