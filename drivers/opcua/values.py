"""Answers by way of the library's decoder: everything that :mod:`drivers.opcua.decode` leaves.

Slower by far, and it tells what is wrong with an answer. Where both ways understand one they give the
same, which a property test holds them to. Every value is measured before the library sees it
(:mod:`drivers.opcua.extent`), because the library takes a length at its word.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary

from drivers.opcua import extent
from drivers.opcua.bounded import Bounded
from drivers.opcua.columns import (
    ARRAY,
    DATETIME,
    DIMENSIONS,
    EXACT,
    HAS_VALUE,
    INT64,
    LOCALIZED_TEXT,
    NUMBERS,
    STRING,
    UINT64,
    Columns,
    Publish,
    micros,
    numbers,
    text,
)
from drivers.opcua.decode import ITEMS
from drivers.opcua.reading import Malformed, reading

_PUBLISH_RESPONSE, _READ_RESPONSE, _DATA_CHANGE, _STATUS_CHANGE = 829, 634, 811, 820
_OLDEST = datetime(1601, 1, 1, tzinfo=UTC)
_HEADER = struct.Struct("<qII")
_PUBLISH = struct.Struct("<?Iq")
_COUNT = struct.Struct("<I")


class Refused(Exception):
    """The server answered the whole request with a bad status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{ua.StatusCode(ua.UInt32(status)).name} (0x{status:08X})")
        self.code = status


def publish_response(body: bytes) -> Publish:
    """The answer to a Publish request. Raises :class:`Malformed` or :class:`Refused`."""
    with reading("a Publish answer", Refused):
        left = [extent.PARTS]
        at = _header(body, _PUBLISH_RESPONSE, left)
        (subscription,) = _COUNT.unpack_from(body, at)
        available, at = _uint32s(body, at + 4)
        more, sequence, time = _PUBLISH.unpack_from(body, at)
        notifications, at = extent.listed(body, at + _PUBLISH.size, left), at + _PUBLISH.size + 4
        entries: list[tuple[int, int, ua.DataValue]] = []
        status_change: int | None = None
        for _ in range(notifications):
            kind, begin, at = _notification(body, at)
            if kind == _DATA_CHANGE:
                entries += _data_change(body[begin:at], left)
            elif kind == _STATUS_CHANGE:
                (status_change,) = _COUNT.unpack_from(body[begin:at])
        results, at = _uint32s(body, at)
        _end(body, at, left)
        items = columns(entries)
    keep_alive = not notifications
    return Publish(
        subscription, sequence, more, micros(time), available, results, items, keep_alive, status_change=status_change
    )


def read_response(body: bytes, count: int) -> Columns:
    """The values in the answer to a Read request for ``count`` nodes. Raises as above."""
    with reading("a Read answer", Refused):
        left = [extent.PARTS]
        at, library = _header(body, _READ_RESPONSE, left), [extent.PARTS]
        found, at = extent.length(body, at), at + 4
        if found != count:
            raise Malformed(f"a Read answer has {found} values for {count} nodes")
        entries: list[tuple[int, int, ua.DataValue]] = []
        for row in range(count):
            kind, value, at = _data_value(body, at, left, library)
            entries.append((row, kind, value))
        _end(body, at, left)
        return columns(entries)


def columns(entries: Sequence[tuple[int, int, ua.DataValue]]) -> Columns:
    """Decoded values, by handle and built-in type (:data:`ARRAY` for arrays), as columns."""
    result = Columns.blank(len(entries))
    other: dict[int, Any] = {}
    inexact: list[int] = []
    for row, (handle, kind, value) in enumerate(entries):
        result.handle[row], result.kind[row] = handle, kind
        if value.StatusCode is not None:
            result.status[row] = value.StatusCode.value
        if value.SourceTimestamp is not None:
            result.source_time[row] = micros(_ticks(value.SourceTimestamp))
        variant = value.Value or ua.Variant()
        found = _plain(kind, variant.Value)
        if isinstance(found, float):
            result.value[row] = found
            if kind in (INT64, UINT64) and abs(variant.Value) > EXACT:
                inexact.append(row)
        elif found is not None:
            other[row] = found
    result.other = other
    if inexact:
        result.inexact = np.zeros(len(entries), np.bool_)
        result.inexact[inexact] = True
    return result


def data_value(value: ua.DataValue) -> Columns:
    """One value that the library has decoded, such as that of a node read by itself."""
    variant = value.Value or ua.Variant()
    kind = variant.VariantType.value | (ARRAY if variant.is_array else 0)
    return columns([(0, kind, value)])


def _plain(kind: int, value: Any) -> Any:
    """A float; a text; an array of numbers or texts as on the wire; or ``None``."""
    element = kind & ~ARRAY
    if kind & ARRAY:
        flat = ua.flatten(value) or []
        if element == DATETIME:
            flat = [_ticks(each) for each in flat]
        if element in NUMBERS:
            return np.array(flat, NUMBERS[element])
        return [_text(each) for each in flat] if element == STRING else None
    if kind == DATETIME:
        return float(numbers(DATETIME, np.array([_ticks(value)]))[0][0])
    if kind in NUMBERS:
        return float(value)
    if kind == STRING:
        return _text(value)
    return _text(value.Text) if kind == LOCALIZED_TEXT else None


def _text(value: str | None) -> str:
    # The library keeps bytes that are no UTF-8 as lone surrogates.
    return "" if value is None else text(value.encode("utf-8", "surrogateescape"))


def _ticks(value: datetime) -> int:
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return (aware - _OLDEST) // timedelta(microseconds=1) * 10


def _header(body: bytes, expected: int, left: list[int]) -> int:
    """Where the answer begins behind its header. Diagnostics and additions are passed over."""
    at = extent.node_id(body, 0)
    found = _number(body[:at])
    if found != expected:
        raise Malformed(f"type {found} instead of {expected}")
    result: int = _HEADER.unpack_from(body, at)[2]
    at = extent.diagnostics(body, at + _HEADER.size)
    strings, at = extent.listed(body, at, left), at + 4
    for _ in range(strings):
        at = extent.string(body, at)
    at = extent.structure(body, at)
    if result & 0x80000000:
        raise Refused(result)
    return at


def _number(node_id: bytes) -> int | None:
    """The number of a type of namespace 0."""
    if node_id[0] == 1 and node_id[1] == 0:
        return int.from_bytes(node_id[2:], "little")
    if node_id[0] == 2 and node_id[1:3] == b"\0\0":
        return int.from_bytes(node_id[3:], "little")
    return None


def _uint32s(body: bytes, at: int) -> tuple[tuple[int, ...], int]:
    count = extent.length(body, at)
    if count > min(ITEMS, len(body) // 4):
        raise Malformed(f"a list of {count}")
    return struct.unpack_from(f"<{count}I", body, at + 4), at + 4 + 4 * count


def _notification(body: bytes, at: int) -> tuple[int | None, int, int]:
    """Type of a notification, where its content begins, and where it ends."""
    begin = extent.node_id(body, at)
    kind = _number(body[at:begin])
    end = extent.structure(body, at)
    return kind, begin + (5 if end > begin + 1 else 1), end


def _data_change(body: bytes, left: list[int]) -> list[tuple[int, int, ua.DataValue]]:
    entries: list[tuple[int, int, ua.DataValue]] = []
    count, at, library = extent.listed(body, 0, left), 4, [extent.PARTS]
    for _ in range(count):
        (handle,) = _COUNT.unpack_from(body, at)
        kind, value, at = _data_value(body, at + 4, left, library)
        entries.append((handle, kind, value))
    _end(body, at, left)
    return entries


def _data_value(body: bytes, at: int, left: list[int], library: list[int]) -> tuple[int, ua.DataValue, int]:
    """Built-in type, value and end of the data value at ``at``."""
    mask, end = body[at], extent.data_value(body, at, left)
    if end > len(body):
        raise Malformed("the end is missing")
    kind = body[at + 1] & ~DIMENSIONS if mask & HAS_VALUE else 0
    whole = body[at:end]
    if mask & HAS_VALUE and kind & ~ARRAY not in (0, *NUMBERS, STRING, LOCALIZED_TEXT):
        # Nothing is made of such a value, so the library need not understand it.
        whole = bytes([mask & ~HAS_VALUE]) + body[extent.value(body, at + 2, body[at + 1], left) : end]
    buffer = Bounded(whole, left=library)
    value = struct_from_binary(ua.DataValue, buffer)
    if len(buffer):
        raise Malformed("a value is longer than it says")
    return kind, value, end


def _end(body: bytes, at: int, left: list[int]) -> None:
    """Nothing but the diagnostics of single operations may follow."""
    count, at = extent.listed(body, at, left), at + 4
    for _ in range(count):
        at = extent.diagnostics(body, at)
    if at != len(body):
        raise Malformed(f"{len(body) - at} bytes more than it says")
