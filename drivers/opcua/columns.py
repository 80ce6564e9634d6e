"""What comes out of an answer, whichever way it was decoded, and how a data value lies on the wire. Pure.

Wire format: OPC 10000-6, 5.2.2.17 (DataValue) and 5.2.2.16 (Variant).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

NULL, BOOLEAN, INT64, UINT64, FLOAT, DOUBLE, STRING, DATETIME, LOCALIZED_TEXT = 0, 1, 8, 9, 10, 11, 12, 13, 21
"""Built-in types by their number on the wire."""
ARRAY, DIMENSIONS = 0x80, 0x40
"""Flags beside the built-in type in the first byte of a Variant."""

HAS_VALUE, HAS_STATUS, HAS_SOURCE_TIME, HAS_SERVER_TIME = 0x01, 0x02, 0x04, 0x08
HAS_SOURCE_PICOSECONDS, HAS_SERVER_PICOSECONDS = 0x10, 0x20
"""Bits of a DataValue's encoding mask: which of its fields follow."""

NUMBERS: Mapping[int, str] = {
    BOOLEAN: "u1",
    2: "i1",
    3: "u1",
    4: "<i2",
    5: "<u2",
    6: "<i4",
    7: "<u4",
    INT64: "<i8",
    UINT64: "<u8",
    FLOAT: "<f4",
    DOUBLE: "<f8",
    DATETIME: "<i8",
}
"""Built-in types that become a number, as numpy reads them."""

EXACT = 2**53
"""Integers beyond it are not all exact in a float64."""

_EPOCH = 11_644_473_600_000_000
"""Microseconds from 1601, where OPC UA counts from, to 1970."""
_LAST_TICKS = 2_650_467_743_990_000_000
"""31 December 9999, 23:59:59, the latest time there is, in steps of 100 ns."""


@dataclass(slots=True)
class Columns:
    """Data values as parallel arrays, one row a value.

    ``handle``: uint32, the client handle of the monitored item, or the position in the request.
    ``kind``: uint8, the built-in type, with :data:`ARRAY` for arrays.
    ``value``: float64, not yet scaled; NaN where it is no number. A DateTime is in seconds since 1970.
    ``status``: uint32, OPC UA status code. ``source_time``: int64, UTC microseconds, 0 for none.
    ``inexact``: where ``value`` is an integer beyond what a float64 holds; ``None`` means nowhere.
    ``other``: row → text, or the elements of an array in the order of the wire (row by row).
    """

    handle: NDArray[np.uint32]
    kind: NDArray[np.uint8]
    value: NDArray[np.float64]
    status: NDArray[np.uint32]
    source_time: NDArray[np.int64]
    inexact: NDArray[np.bool_] | None = None
    other: Mapping[int, str | Sequence[Any] | NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.handle)

    @classmethod
    def blank(cls, rows: int) -> Columns:
        """Rows that hold nothing yet: good, without value or time, numbered from 0."""
        return cls(
            np.arange(rows, dtype=np.uint32),
            np.zeros(rows, np.uint8),
            np.full(rows, np.nan),
            np.zeros(rows, np.uint32),
            np.zeros(rows, np.int64),
        )


@dataclass(slots=True)
class Publish:
    """The answer to a Publish request."""

    subscription: int
    sequence: int
    """Sequence number; of a keep-alive, the one that the next notification will have."""
    more: bool
    """Whether further notifications wait that did not fit into this one."""
    time: int
    """UTC microseconds at which the server says it sent this."""
    available: tuple[int, ...]
    """Sequence numbers that can be asked for again, or acknowledged."""
    results: tuple[int, ...]
    """Status codes of the acknowledgements sent along with the request."""
    items: Columns
    keep_alive: bool = False
    status_change: int | None = None
    """Status code of a StatusChangeNotification: the subscription has ended or moved."""


def micros(ticks: int) -> int:
    """An OPC UA DateTime as UTC microseconds since 1970; 0 for none, which OPC UA writes as 1601."""
    if ticks < 10:
        return 0
    return min(ticks, _LAST_TICKS) // 10 - _EPOCH


def micros_array(ticks: NDArray[np.int64]) -> NDArray[np.int64]:
    """As :func:`micros`, for an array."""
    found: NDArray[np.int64] = np.minimum(ticks, _LAST_TICKS) // 10 - _EPOCH
    none = ticks < 10
    if none.any():
        found[none] = 0
    return found


def numbers(kind: int, raw: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """Raw numbers of one built-in type as float64, and which of them are not exact (``None``: all are)."""
    if kind == BOOLEAN:
        return (raw != 0).astype(np.float64), None
    if kind == DATETIME:
        return np.where(raw < 10, np.nan, micros_array(raw) / 1e6), None
    value = raw.astype(np.float64)
    if kind not in (INT64, UINT64):
        return value, None
    beyond: NDArray[np.bool_] = raw > EXACT
    if kind == INT64:
        beyond |= raw < -EXACT
    return value, beyond if beyond.any() else None


def text(raw: bytes) -> str:
    """Characters on the wire: UTF-8, else GB 18030 as some Chinese devices write against the standard."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "replace")


@cache
def layout(lead: int, mask: int, kind: int) -> np.dtype[np.void] | None:
    """How one item lies on the wire, or ``None`` where its size is not fixed by mask and type.

    ``lead``: bytes in front of the DataValue: 4 with a client handle (field ``handle``), else 0. Further
    fields are ``mask`` and, as the mask says, ``kind``, ``value``, ``status`` and ``source``.
    """
    fields: list[tuple[str, str]] = [("handle", "<u4")] if lead else []
    fields.append(("mask", "u1"))
    if mask & 0xC0:
        return None
    if mask & HAS_VALUE:
        fields.append(("kind", "u1"))
        if kind in NUMBERS:
            fields.append(("value", NUMBERS[kind]))
        elif kind != NULL:
            return None
    for bit, name, dtype in (
        (HAS_STATUS, "status", "<u4"),
        (HAS_SOURCE_TIME, "source", "<i8"),
        (HAS_SOURCE_PICOSECONDS, "source_picoseconds", "<u2"),
        (HAS_SERVER_TIME, "server", "<i8"),
        (HAS_SERVER_PICOSECONDS, "server_picoseconds", "<u2"),
    ):
        if mask & bit:
            fields.append((name, dtype))
    return np.dtype(fields)
