"""What the sandbox's Modbus servers share: frames, answers, and faults on demand. Our own, on purpose:
a driver that is tested against the library it is built on would share its mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

IDENTIFY = 0x2B
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS = 1, 2
LONGEST_TCP, LONGEST_RTU, LONGEST_ASCII = 260, 256, 513


class RegisterSource(Protocol):
    """One unit's data.

    It may also have ``identification``, a mapping of object id to bytes, which function 43/14 reads.
    """

    def read(self, function: int, address: int, count: int) -> bytes | int:
        """The data bytes of an answer, or an exception code."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived; ``address`` and ``count`` are 0 where the function has none."""

    unit: int
    function: int
    address: int
    count: int
    pdu: bytes
    tid: int = 0

    @classmethod
    def of(cls, unit: int, pdu: bytes, tid: int = 0) -> Request:
        """Take a PDU apart."""
        plain = len(pdu) == 5
        address = int.from_bytes(pdu[1:3], "big") if plain else 0
        count = int.from_bytes(pdu[3:5], "big") if plain else 0
        return cls(unit, pdu[0], address, count, pdu, tid)


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a server does with a request; the default is what a healthy one does."""

    silent: bool = False
    delay_s: float = 0.0
    """Answer so much later; requests behind it wait."""
    hang_up: bool = False
    """Close the connection instead of answering."""
    tid_shift: int = 0
    pdu: bytes | None = None
    """Answer with this instead."""
    unit: int | None = None
    """Answer in the name of this unit."""
    alter: Callable[[bytes], bytes] = bytes
    """Applied to the finished frame: cut it, spoil it, add noise."""


HEALTHY, SILENT, HANG_UP = Reaction(), Reaction(silent=True), Reaction(hang_up=True)
React = Callable[[Request], Reaction]


def answer(units: Mapping[int, RegisterSource], request: Request) -> bytes | None:
    """The PDU that answers a request; None when no such unit is there, for then nobody speaks."""
    source = units.get(request.unit)
    if source is None:
        return None
    if request.function == IDENTIFY:
        return _identify(source, request.pdu)
    data = source.read(request.function, request.address, request.count)
    if isinstance(data, int):
        return bytes([request.function | 0x80, data])
    return bytes([request.function, len(data)]) + data


def _identify(source: RegisterSource, pdu: bytes) -> bytes:
    objects: Mapping[int, bytes] = getattr(source, "identification", {})
    if not objects or pdu[1:2] != b"\x0e":
        return bytes([IDENTIFY | 0x80, ILLEGAL_FUNCTION])
    body = b"".join(bytes([number, len(text)]) + text for number, text in sorted(objects.items()))
    return bytes([IDENTIFY, 0x0E, pdu[2], 0x81, 0, 0, len(objects)]) + body


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
        table.append(value)
    return table


_CRC = _crc_table()


def crc16(data: bytes) -> bytes:
    """Modbus CRC, low byte first as on the wire."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def tcp_frame(unit: int, pdu: bytes, tid: int) -> bytes:
    """MBAP header and PDU."""
    return tid.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu


def rtu_frame(unit: int, pdu: bytes, tid: int = 0) -> bytes:
    """Unit id, PDU and CRC."""
    body = bytes([unit]) + pdu
    return body + crc16(body)


def ascii_frame(unit: int, pdu: bytes, tid: int = 0) -> bytes:
    """Colon, hexadecimal digits with LRC, CR LF."""
    body = bytes([unit]) + pdu
    return b":" + (body + bytes([-sum(body) & 0xFF])).hex().upper().encode() + b"\r\n"


def take_tcp(buffer: bytearray) -> Request | None:
    """Remove the first whole request from ``buffer``; raises ValueError on nonsense."""
    if len(buffer) < 8:
        return None
    length = int.from_bytes(buffer[4:6], "big")
    if buffer[2:4] != b"\0\0" or not 2 <= length <= LONGEST_TCP - 6:
        raise ValueError("no MBAP header")
    if len(buffer) < 6 + length:
        return None
    request = Request.of(buffer[6], bytes(buffer[7 : 6 + length]), int.from_bytes(buffer[:2], "big"))
    del buffer[: 6 + length]
    return request


def take_rtu(buffer: bytearray) -> Request | None:
    """Remove the first whole request; what has no right CRC is skipped byte by byte, as after noise."""
    while len(buffer) >= 7:
        # Requests have a length that is known: 8 bytes for functions 1 to 6, 7 for the identification.
        length = 7 if buffer[1] == IDENTIFY else 8
        if len(buffer) < length:
            return None
        frame = bytes(buffer[:length])
        if crc16(frame[:-2]) == frame[-2:]:
            del buffer[:length]
            return Request.of(frame[0], frame[1:-2])
        if len(buffer) == length:
            return None
        del buffer[0]
    return None


def take_ascii(buffer: bytearray) -> Request | None:
    """Remove the first whole request; lines with a wrong LRC are skipped."""
    while (end := buffer.find(b"\r\n")) >= 0:
        line = bytes(buffer[:end]).rpartition(b":")[2]
        del buffer[: end + 2]
        try:
            body = bytes.fromhex(line.decode("ascii"))
        except ValueError:
            continue
        if len(body) >= 3 and sum(body) & 0xFF == 0:
            return Request.of(body[0], body[1:-1])
    return None


Take = Callable[[bytearray], "Request | None"]
Frame = Callable[[int, bytes, int], bytes]
FRAMERS: Mapping[str, tuple[Take, Frame]] = {
    "tcp": (take_tcp, tcp_frame),
    "rtu": (take_rtu, rtu_frame),
    "ascii": (take_ascii, ascii_frame),
}


def respond(units: Mapping[int, RegisterSource], request: Request, reaction: Reaction, frame: Frame) -> bytes | None:
    """The bytes to send for a request, or None for silence."""
    pdu = reaction.pdu if reaction.pdu is not None else answer(units, request)
    if pdu is None or reaction.silent:
        return None
    unit = request.unit if reaction.unit is None else reaction.unit
    return reaction.alter(frame(unit, pdu, (request.tid + reaction.tid_shift) & 0xFFFF))
