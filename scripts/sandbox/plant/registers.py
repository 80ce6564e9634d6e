"""Modbus tables with holes, and how values lie in them. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
COILS, DISCRETE, HOLDING, INPUT = 1, 2, 3, 4
"""A table is named by the function code that reads it."""


@dataclass(slots=True)
class Registers:
    """One unit's tables. What was never put is a hole, and reading across it is refused.

    ``refresh`` is called before each read, to bring the values up to now.
    """

    refresh: Callable[[], None] = lambda: None
    tables: dict[int, dict[int, int]] = field(default_factory=lambda: {1: {}, 2: {}, 3: {}, 4: {}})
    refused: list[int] = field(default_factory=list)
    """Function codes that were asked for and do not read: a driver that tries to write is found here."""

    def read(self, function: int, address: int, count: int) -> bytes | int:
        """The data bytes of an answer, or an exception code.

        Registers are two bytes each, high byte first; bits are packed with the first in bit 0.
        """
        if function not in self.tables:
            self.refused.append(function)
            return ILLEGAL_FUNCTION
        if not 1 <= count <= (2000 if function in (COILS, DISCRETE) else 125):
            return ILLEGAL_VALUE
        self.refresh()
        table = self.tables[function]
        try:
            values = [table[place] for place in range(address, address + count)]
        except KeyError:
            return ILLEGAL_ADDRESS
        if function in (HOLDING, INPUT):
            return struct.pack(f">{count}H", *values)
        packed = sum(bit << place for place, bit in enumerate(values))
        return packed.to_bytes((count + 7) // 8, "little")

    def bit(self, table: int, address: int, value: bool) -> None:
        """Put a coil or discrete input."""
        self.tables[table][address] = int(value)

    def word(self, table: int, address: int, value: int) -> None:
        """Put 16 bits; negative numbers as two's complement, larger ones lose their high bits."""
        self.tables[table][address] = value & 0xFFFF

    def uint32(self, table: int, address: int, value: int, order: str = "ABCD") -> None:
        """Put an unsigned 32-bit integer in order ABCD or CDAB."""
        self._words(table, address, _ordered(struct.pack(">I", value & 0xFFFFFFFF), order))

    def float32(self, table: int, address: int, value: float, order: str = "ABCD") -> None:
        """Put a float32 in order ABCD or CDAB."""
        self._words(table, address, _ordered(struct.pack(">f", value), order))

    def text(self, table: int, address: int, value: str, length: int) -> None:
        """Put ASCII text, two characters a register, filled with NUL."""
        self._words(table, address, value.encode("ascii")[:length].ljust(length, b"\0"))

    def _words(self, table: int, address: int, data: bytes) -> None:
        for place, value in enumerate(struct.unpack(f">{len(data) // 2}H", data), address):
            self.tables[table][place] = value


def _ordered(data: bytes, order: str) -> bytes:
    return data if order == "ABCD" else data[2:] + data[:2]
