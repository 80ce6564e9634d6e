"""Frames around a PDU: MBAP, RTU and ASCII. Pure.

A PDU begins with the function code, and its own word decides how long it is: there are devices whose MBAP
header counts wrongly, and RTU has nothing else to go by.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Protocol

IDENTIFY = 0x2B
ASKED = frozenset({1, 2, 3, 4, IDENTIFY})
"""Functions that are ever asked for: reading, and identification (43/14)."""
_LONGEST_RTU, _LONGEST_PDU = 256, 253
_SHORTEST_RTU = 5


class Garbled(Exception):
    """What arrived is no frame of this kind."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it came. ``tid``: its transaction id; 0 where there is none."""

    unit: int
    pdu: bytes
    tid: int = 0


class Framing(Protocol):
    """How a transport wraps PDUs."""

    def wrap(self, unit: int, pdu: bytes, tid: int) -> bytes:
        """The frame of a request."""

    def take(self, data: bytes) -> tuple[int, Frame | None]:
        """The first whole answer, and the bytes used up to its end; raises :class:`Garbled`."""


def answer_size(pdu: bytes) -> int:
    """Bytes of the answer that begins here by its own word; 0: not known yet; -1: no function of ours."""
    if not pdu:
        return 0
    if pdu[0] & 0x7F not in ASKED:
        return -1
    if pdu[0] >= 0x80:
        return 2
    if pdu[0] == IDENTIFY:
        return _identification_size(pdu)
    return 2 + pdu[1] if len(pdu) > 1 else 0


def _identification_size(pdu: bytes) -> int:
    at = 7
    for _ in range(pdu[6] if len(pdu) > 6 else 0):
        if len(pdu) < at + 2:
            return 0
        at += 2 + pdu[at + 1]
    return at if len(pdu) > 6 else 0


class Mbap:
    """Modbus TCP, and what goes over UDP and TLS."""

    def wrap(self, unit: int, pdu: bytes, tid: int) -> bytes:
        """Transaction id, protocol id 0, length, unit id, PDU."""
        return tid.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu

    def take(self, data: bytes) -> tuple[int, Frame | None]:
        """The length in the header counts only where the function is none of ours."""
        if len(data) < 8:
            return 0, None
        if data[2:4] != b"\0\0":
            raise Garbled
        size = answer_size(data[7 : 7 + _LONGEST_PDU + 2])
        if size < 0:
            size = int.from_bytes(data[4:6], "big") - 1
            if not 1 <= size <= _LONGEST_PDU:
                raise Garbled
        if not size or len(data) < 7 + size:
            return 0, None
        return 7 + size, Frame(data[6], data[7 : 7 + size], int.from_bytes(data[:2], "big"))


class Rtu:
    """Binary on a serial line, or over TCP to one."""

    def wrap(self, unit: int, pdu: bytes, tid: int) -> bytes:
        """Unit id, PDU, CRC."""
        body = bytes([unit]) + pdu
        return body + crc16(body)

    def take(self, data: bytes) -> tuple[int, Frame | None]:
        """The first frame with a right checksum, wherever it begins: noise before an answer costs nothing."""
        for start in range(len(data) - _SHORTEST_RTU + 1):
            if data[start + 1] & 0x7F in ASKED and (size := self._whole_at(data[start : start + _LONGEST_RTU])):
                return start + size, Frame(data[start], data[start + 1 : start + size - 2])
        return max(0, len(data) - _LONGEST_RTU), None  # a frame may still begin in the rest

    def _whole_at(self, data: bytes) -> int:
        """Bytes of the frame that ``data`` begins with; 0 when it is not whole or not sound."""
        size = answer_size(data[1:]) + 3
        if not _SHORTEST_RTU <= size <= len(data):
            return 0
        return size if crc16(data[: size - 2]) == data[size - 2 : size] else 0


class Ascii:
    """Hexadecimal digits on a serial line."""

    def wrap(self, unit: int, pdu: bytes, tid: int) -> bytes:
        """Colon, digits with the LRC, CR LF."""
        body = bytes([unit]) + pdu
        return b":" + (body + bytes([-sum(body) & 0xFF])).hex().upper().encode() + b"\r\n"

    def take(self, data: bytes) -> tuple[int, Frame | None]:
        """The first line with a right checksum; a colon begins a new one, whatever came before."""
        used = 0
        while (end := data.find(b"\r\n", used)) >= 0:
            line, used = data[used:end].rpartition(b":")[2], end + 2
            try:
                body = binascii.a2b_hex(line)
            except ValueError:
                continue
            if len(body) >= 3 and sum(body) & 0xFF == 0:
                return used, Frame(body[0], body[1:-1])
        return used, None


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes) -> bytes:
    """Modbus CRC, low byte first as on the wire."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


FRAMINGS: dict[str, Framing] = {
    "tcp": Mbap(),
    "udp": Mbap(),
    "tls": Mbap(),
    "rtu": Rtu(),
    "ascii": Ascii(),
    "rtu-over-tcp": Rtu(),
}
