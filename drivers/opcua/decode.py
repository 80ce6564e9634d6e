"""Publish and Read answers from their bytes, without the library. Pure.

Items that all have one shape are read as an array of fixed stride: the shape is taken from the first,
and that every item has it is verified over the whole array. Items of several shapes are walked through
(:mod:`drivers.opcua.mixed`). Whatever is not understood to the last byte gives ``None`` and is left
to the library's decoder (:mod:`drivers.opcua.values`), which tells what is wrong with it.

Wire format: OPC 10000-6, 5.2; PublishResponse and ReadResponse: OPC 10000-4, 5.14.5 and 5.11.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from drivers.opcua.columns import HAS_VALUE, NULL, Columns, Publish, layout, micros, micros_array, numbers
from drivers.opcua.mixed import mixed

Body = bytes | memoryview

_PUBLISH_RESPONSE, _READ_RESPONSE, _DATA_CHANGE = 829, 634, 811
"""Node ids of the binary encodings."""

_HEADER = struct.Struct("<qIIB")
"""Time stamp, request handle, service result, and the mask of the (absent) diagnostics."""
_NO_MORE = b"\x00\x00\x00"
"""An additional header that is absent."""
_INT = struct.Struct("<i")
_COUNT = struct.Struct("<I")
_MESSAGE = struct.Struct("<?Iq")
"""More notifications, sequence number, time."""


ITEMS = 200_000
"""Values that a notification may hold, and sequence numbers: more is not sent for anything that we asked."""


class _Unknown(Exception):
    """Something that only the library's decoder may judge."""


@dataclass(slots=True)
class _Reader:
    """Reads on from ``at``; raises :class:`_Unknown` or struct.error."""

    body: Body
    at: int = 0

    def take(self, form: struct.Struct) -> tuple[int, ...]:
        found = form.unpack_from(self.body, self.at)
        self.at += form.size
        return found

    def expect(self, expected: bytes) -> None:
        end = self.at + len(expected)
        if self.body[self.at : end] != expected:
            raise _Unknown
        self.at = end

    def type_id(self, number: int) -> None:
        """A node id of namespace 0, in the short or the long form."""
        short = b"\x01\x00" + struct.pack("<H", number)
        self.expect(short if self.body[self.at] == 1 else b"\x02\x00\x00" + struct.pack("<I", number))

    def length(self) -> int:
        """The length of a list; one that is absent has none."""
        (count,) = self.take(_INT)
        if count < -1:
            raise _Unknown
        return max(count, 0)

    def empty_list(self) -> None:
        if self.length():
            raise _Unknown

    def header(self) -> None:
        """A response header that says nothing but 'good'."""
        _, _, result, diagnostics = self.take(_HEADER)
        if result or diagnostics:
            raise _Unknown
        self.empty_list()
        self.expect(_NO_MORE)

    def uint32s(self) -> tuple[int, ...]:
        count = self.length()
        if count > ITEMS or self.at + 4 * count > len(self.body):
            raise _Unknown
        return self.take(struct.Struct(f"<{count}I"))

    def items(self, lead: int, count: int, end: int) -> Columns:
        if count > ITEMS:
            raise _Unknown
        found = uniform(self.body, self.at, end, count, lead) or mixed(self.body, self.at, end, count, lead)
        if found is None:
            raise _Unknown
        columns, self.at = found
        return columns

    def finish(self, end: int) -> None:
        if self.at != end:
            raise _Unknown


def publish_response(body: Body) -> Publish | None:
    """The answer to a Publish request, from the type id to the last byte.

    ``None``: it holds what only the library can decode, or something is wrong with it.
    """
    try:
        return _publish(_Reader(body))
    except (_Unknown, struct.error, IndexError):
        return None


def read_response(body: Body, count: int) -> Columns | None:
    """The values in the answer to a Read request for ``count`` nodes; ``None`` as above."""
    try:
        reader = _Reader(body)
        reader.type_id(_READ_RESPONSE)
        reader.header()
        if reader.take(_INT)[0] != count:
            return None
        columns = reader.items(0, count, len(body))
        reader.empty_list()
        reader.finish(len(body))
    except (_Unknown, struct.error, IndexError):
        return None
    return columns


def _publish(reader: _Reader) -> Publish:
    reader.type_id(_PUBLISH_RESPONSE)
    reader.header()
    (subscription,) = reader.take(_COUNT)
    available = reader.uint32s()
    more, sequence, time = reader.take(_MESSAGE)
    notifications = reader.length()
    if notifications > 1:
        raise _Unknown
    items = _data_change(reader) if notifications == 1 else Columns.blank(0)
    results = reader.uint32s()
    reader.empty_list()
    reader.finish(len(reader.body))
    return Publish(
        subscription, sequence, bool(more), micros(time), available, results, items, keep_alive=not notifications
    )


def _data_change(reader: _Reader) -> Columns:
    reader.type_id(_DATA_CHANGE)
    reader.expect(b"\x01")
    (length,) = reader.take(_INT)
    end = reader.at + length
    if length < 8 or end > len(reader.body):
        raise _Unknown
    columns = reader.items(4, reader.length(), end)
    reader.empty_list()
    reader.finish(end)
    return columns


def uniform(body: Body, at: int, end: int, count: int, lead: int) -> tuple[Columns, int] | None:
    """``count`` items of one shape from ``at``, and where they end; ``None`` where there are several."""
    if not count:
        return Columns.blank(0), at
    first = at + lead
    mask, kind = body[first], body[first + 1]
    shape = layout(lead, mask, kind if mask & HAS_VALUE else NULL)
    if shape is None or at + count * shape.itemsize > end:
        return None
    items = np.frombuffer(body, shape, count, at)
    if not (items["mask"] == mask).all():
        return None
    if mask & HAS_VALUE and not (items["kind"] == kind).all():
        return None
    columns = Columns.blank(count)
    names = shape.names or ()
    if lead:
        columns.handle = items["handle"].astype(np.uint32)
    if "kind" in names:
        columns.kind[:] = kind
    if "value" in names:
        columns.value, columns.inexact = numbers(kind, items["value"])
    if "status" in names:
        columns.status = items["status"].astype(np.uint32)
    if "source" in names:
        columns.source_time = micros_array(items["source"])
    return columns, at + count * shape.itemsize
