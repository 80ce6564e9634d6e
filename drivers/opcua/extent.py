"""Where a value ends, of whatever type it is, without decoding it. Pure.

So a structure or a GUID among numbers costs no more than being stepped over, and nothing is handed to
the library's decoder that claims more elements than there are bytes. Wire format: OPC 10000-6, 5.2.
"""

from __future__ import annotations

import math
import struct

from drivers.opcua.columns import (
    ARRAY,
    DIMENSIONS,
    HAS_SERVER_PICOSECONDS,
    HAS_SERVER_TIME,
    HAS_SOURCE_PICOSECONDS,
    HAS_SOURCE_TIME,
    HAS_STATUS,
    HAS_VALUE,
)
from drivers.opcua.reading import TooMuch

Body = bytes | memoryview

_INT = struct.Struct("<i")
_FIXED = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 4, 8: 8, 9: 8, 10: 4, 11: 8, 13: 8, 14: 16, 19: 4}
_DEEPEST = 16
PARTS = 250_000
"""What has no fixed size may be so often in one answer: to go through it holds everybody up."""
_TAIL = {
    HAS_STATUS: 4,
    HAS_SOURCE_TIME: 8,
    HAS_SOURCE_PICOSECONDS: 2,
    HAS_SERVER_TIME: 8,
    HAS_SERVER_PICOSECONDS: 2,
}


class Garbled(ValueError):
    """Bytes that are no value."""


def value(body: Body, at: int, encoding: int, left: list[int], depth: int = 0) -> int:
    """Where the value ends that begins at ``at``, behind its encoding byte.

    ``left``: how many parts there may still be in this answer; it is counted down.

    Raises :class:`Garbled`, struct.error or IndexError.
    """
    if depth > _DEEPEST:
        raise Garbled("nested too deep")
    kind = encoding & ~(ARRAY | DIMENSIONS)
    if not encoding & ARRAY:
        if encoding & DIMENSIONS:
            raise Garbled("dimensions without an array")
        return _one(body, at, kind, left, depth) if kind else at
    count = length(body, at)
    at += 4
    if count > len(body) - at or (count and not kind):
        raise Garbled(f"an array of {count}")
    if kind in _FIXED:
        at += count * _FIXED[kind]
    else:
        spend(left, count)
        for _ in range(count):
            at = _one(body, at, kind, left, depth)
    if at > len(body):
        raise Garbled("the end is missing")
    return dimensions(body, at, count) if encoding & DIMENSIONS else at


def length(body: Body, at: int) -> int:
    """The length at ``at`` of a text or a list; one that is absent has none."""
    found: int = _INT.unpack_from(body, at)[0]
    if found < -1:
        raise Garbled(f"a length of {found}")
    return max(found, 0)


def listed(body: Body, at: int, left: list[int]) -> int:
    """The length of a list at ``at`` that has to be gone through."""
    found = length(body, at)
    spend(left, found)
    return found


def spend(left: list[int], parts: int) -> None:
    """Count parts down."""
    left[0] -= parts
    if left[0] < 0:
        raise TooMuch(f"an answer has more than {PARTS} parts")


def string(body: Body, at: int) -> int:
    """Where a text or byte string ends."""
    end = at + 4 + length(body, at)
    if end > len(body):
        raise Garbled("the end is missing")
    return end


def dimensions(body: Body, at: int, count: int) -> int:
    """Where the dimensions of an array end; they must be those of its ``count`` elements."""
    number = length(body, at)
    if not 0 < number <= 16 or math.prod(struct.unpack_from(f"<{number}I", body, at + 4)) != count:
        raise Garbled("dimensions of another array")
    return at + 4 + 4 * number


def _one(body: Body, at: int, kind: int, left: list[int], depth: int) -> int:
    if kind in _FIXED:
        end = at + _FIXED[kind]
        if end > len(body):
            raise Garbled("the end is missing")
        return end
    if kind in (17, 18):
        return node_id(body, at)
    if kind == 20:
        return string(body, at + 2)
    if kind == 21:
        return localized_text(body, at)[1]
    if kind == 22:
        return structure(body, at)
    if kind == 23:
        return data_value(body, at, left, depth)
    if kind == 24:
        return value(body, at + 1, body[at], left, depth + 1)
    if kind == 25:
        return diagnostics(body, at, depth)
    # String, ByteString, XmlElement, and what later editions may add, which is to be read as ByteString.
    return string(body, at)


def localized_text(body: Body, at: int) -> tuple[int, int]:
    """Where the text of a LocalizedText begins (its end where it has none), and where all of it ends."""
    present = body[at]
    if present & ~0x03:
        raise Garbled("a LocalizedText of another kind")
    at = string(body, at + 1) if present & 0x01 else at + 1
    return at, string(body, at) if present & 0x02 else at


def node_id(body: Body, at: int) -> int:
    """Where a node id ends, expanded or not."""
    encoding = body[at]
    form = encoding & 0x3F
    if form > 5:
        raise Garbled("a node id of an unknown kind")
    at += {0: 2, 1: 4, 2: 7, 3: 3, 4: 19, 5: 3}[form]
    if form in (3, 5):
        at = string(body, at)
    if encoding & 0x80:
        at = string(body, at)
    return at + 4 if encoding & 0x40 else at


def structure(body: Body, at: int) -> int:
    """Where an ExtensionObject ends."""
    at = node_id(body, at)
    encoding = body[at]
    if encoding > 2:
        raise Garbled("a structure of an unknown encoding")
    return string(body, at + 1) if encoding else at + 1


def data_value(body: Body, at: int, left: list[int], depth: int = 0) -> int:
    """Where a DataValue ends."""
    mask, at = body[at], at + 1
    if mask & 0xC0:
        raise Garbled("a DataValue of another kind")
    if mask & HAS_VALUE:
        at = value(body, at + 1, body[at], left, depth + 1)
    return at + sum(size for bit, size in _TAIL.items() if mask & bit)


def diagnostics(body: Body, at: int, depth: int = 0) -> int:
    """Where a DiagnosticInfo ends."""
    mask, at = body[at], at + 1
    if mask & 0x80 or depth > _DEEPEST:
        raise Garbled("diagnostics of another kind")
    at += 4 * (mask & 0x0F).bit_count()
    if mask & 0x10:
        at = string(body, at)
    if mask & 0x20:
        at += 4
    return diagnostics(body, at, depth + 1) if mask & 0x40 else at
