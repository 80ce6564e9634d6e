"""Answers of an OPC UA server as bytes, made with the library's own encoder, for tests of decoding."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import strategies as st

from drivers.opcua import values
from drivers.opcua.columns import ARRAY, DATETIME, Columns, Publish, numbers

Item = tuple[int, ua.DataValue]

INTEGERS = {"SByte": 8, "Byte": -8, "Int16": 16, "UInt16": -16, "Int32": 32, "UInt32": -32, "Int64": 64, "UInt64": -64}


def publish_bytes(items: Sequence[Item], **changes: Any) -> bytes:
    """A PublishResponse with one DataChangeNotification (or none, of no items). ``changes``: see below."""
    notification = ua.DataChangeNotification(
        MonitoredItems=[ua.MonitoredItemNotification(ClientHandle=handle, Value=value) for handle, value in items]
    )
    data = changes.get("data", [notification] if items else [])
    message = ua.NotificationMessage(changes.get("sequence", 7), changes.get("time", datetime.now(UTC)), data)
    response = ua.PublishResponse()
    response.ResponseHeader.RequestHandle = 1234
    response.Parameters = ua.PublishResult(
        changes.get("subscription", 42),
        list(changes.get("available", (6, 7))),
        changes.get("more", False),
        message,
        [ua.StatusCode(ua.UInt32(code)) for code in changes.get("results", (0,))],
    )
    return bytes(struct_to_binary(response))


def read_bytes(found: Sequence[ua.DataValue]) -> bytes:
    """A ReadResponse."""
    response = ua.ReadResponse()
    response.Results = list(found)
    return bytes(struct_to_binary(response))


def by_library(body: bytes) -> Columns:
    """The items of an answer as nothing but the library decodes it."""
    if b"\x01\x00" + (634).to_bytes(2, "little") == body[:4]:
        entries = enumerate(struct_from_binary(ua.ReadResponse, Buffer(body)).Results)
    else:
        message = struct_from_binary(ua.PublishResponse, Buffer(body)).Parameters.NotificationMessage
        items = [item for data in message.NotificationData or () for item in data.MonitoredItems]
        entries = ((item.ClientHandle, item.Value) for item in items)  # type: ignore[assignment]
    kinds = [(handle, _kind(value), value) for handle, value in entries]
    return values.columns(kinds)


def _kind(value: ua.DataValue) -> int:
    variant = value.Value or ua.Variant()
    return int(variant.VariantType.value) | (ARRAY if variant.is_array else 0)


def same(one: Columns, other: Columns) -> bool:
    """Whether two ways of decoding gave the same, bit by bit but for the kind of NaN."""
    for name in ("handle", "kind", "value", "status", "source_time"):
        left, right = getattr(one, name), getattr(other, name)
        if left.dtype != right.dtype or not np.array_equal(left, right, equal_nan=name == "value"):
            return False
    none = np.zeros(len(one), np.bool_)
    inexact = [none if each.inexact is None else each.inexact for each in (one, other)]
    if not np.array_equal(*inexact) or one.other.keys() != other.other.keys():
        return False
    return all(_same(int(one.kind[row]), one.other[row], other.other[row]) for row in one.other)


def _same(kind: int, one: Any, other: Any) -> bool:
    if kind == ARRAY | DATETIME:
        # The library's times have microseconds only.
        one, other = numbers(DATETIME, one)[0], numbers(DATETIME, other)[0]
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return bool(one == other)


def same_publish(one: Publish, other: Publish) -> bool:
    """As :func:`same`, for a whole answer."""
    names = [name for name in Publish.__slots__ if name != "items"]  # type: ignore[attr-defined]
    return same(one.items, other.items) and all(getattr(one, name) == getattr(other, name) for name in names)


def integers(name: str) -> st.SearchStrategy[int]:
    """All values of an integer type, the ends and the last exact ones among them."""
    bits = INTEGERS[name]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if bits > 0 else (0, 2**-bits - 1)
    edges = [low, high, *(edge for edge in (2**53, 2**53 + 1, -(2**53) - 1) if low <= edge <= high)]
    return st.integers(low, high) | st.sampled_from(edges)


TIMES = st.datetimes(datetime(1601, 1, 1), datetime(9999, 12, 31, 23, 59, 59), timezones=st.just(UTC)) | st.just(
    datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)
)

SCALARS: dict[str, st.SearchStrategy[Any]] = {
    **{name: integers(name) for name in INTEGERS},
    "Boolean": st.booleans(),
    "Float": st.floats(width=32),
    "Double": st.floats(),
    "DateTime": TIMES,
}
"""Types that become numbers."""
TEXTS: dict[str, st.SearchStrategy[Any]] = {
    "String": st.none() | st.text(max_size=8),
    "LocalizedText": st.builds(ua.LocalizedText, st.none() | st.text(max_size=8), st.none() | st.just("zh")),
}
STRANGE: dict[str, st.SearchStrategy[Any]] = {
    "Guid": st.uuids(),
    "ByteString": st.none() | st.binary(max_size=8),
    "NodeId": st.builds(ua.NodeId, st.integers(0, 2**32 - 1), st.integers(0, 65535))
    | st.builds(ua.NodeId, st.uuids(), st.integers(0, 9))
    | st.builds(ua.NodeId, st.text(min_size=1, max_size=4), st.integers(0, 9)),
    "StatusCode": st.builds(ua.StatusCode, st.integers(0, 2**32 - 1)),
    "QualifiedName": st.builds(ua.QualifiedName, st.text(max_size=4), st.integers(0, 9)),
    "ExtensionObject": st.builds(ua.EUInformation, st.text(max_size=4), st.integers(-9, 9)),
}
"""Types that nothing is made of."""


@st.composite
def variants(draw: st.DrawFn, names: Sequence[str] = (*SCALARS, *TEXTS, *STRANGE, "Null")) -> ua.Variant:
    """A value of one of the types, now and then an array or a matrix of them."""
    name = draw(st.sampled_from(names))
    if name == "Null":
        return ua.Variant()
    kind, one = ua.VariantType[name], {**SCALARS, **TEXTS, **STRANGE}[name]
    if draw(st.integers(0, 9)):
        return ua.Variant(draw(one), kind)
    flat = draw(st.lists(one, max_size=6))
    if len(flat) == 6 and draw(st.booleans()):
        return ua.Variant([flat[:3], flat[3:]], kind)
    return ua.Variant(flat, kind, is_array=True)


@st.composite
def data_values(draw: st.DrawFn, variant: st.SearchStrategy[ua.Variant], mask: int | None = None) -> ua.DataValue:
    """A data value with those of the optional fields that the mask (without its bit 0) names."""
    bits = draw(st.integers(0, 31)) if mask is None else mask
    found = ua.DataValue(draw(variant))
    statuses = st.sampled_from([0, 0x480, 0x40000000, 0x80310000, 0x80340000, 0x40920000])
    found.StatusCode = ua.StatusCode(ua.UInt32(draw(statuses))) if bits & 1 else None
    found.SourceTimestamp = draw(TIMES) if bits & 2 else None
    found.ServerTimestamp = draw(TIMES) if bits & 4 else None
    found.SourcePicoseconds = ua.UInt16(draw(st.integers(0, 9999))) if bits & 8 else None
    found.ServerPicoseconds = ua.UInt16(draw(st.integers(0, 9999))) if bits & 16 else None
    return found


@st.composite
def alike(draw: st.DrawFn) -> list[ua.DataValue]:
    """Values that share one shape."""
    name = draw(st.sampled_from([*SCALARS, "Null"]))
    kind = ua.Variant() if name == "Null" else None
    scalar = st.just(kind) if kind else st.builds(ua.Variant, SCALARS[name], st.just(ua.VariantType[name]))
    mask = draw(st.integers(0, 31))
    return draw(st.lists(data_values(scalar, mask), min_size=1, max_size=20))


@st.composite
def runs(draw: st.DrawFn) -> list[ua.DataValue]:
    """Long runs of values of one type each, some types being equally long on the wire."""
    found: list[ua.DataValue] = []
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(["Double", "Int64", "UInt64", "DateTime", "Float", "Boolean", "String"]))
        variant = ua.Variant(draw({**SCALARS, **TEXTS}[name]), ua.VariantType[name])
        value = draw(data_values(st.just(variant), draw(st.sampled_from([0, 2, 2, 3]))))
        found += [value] * draw(st.integers(1, 90))
    return found


def numbered(found: st.SearchStrategy[list[ua.DataValue]]) -> st.SearchStrategy[list[Item]]:
    """With client handles."""
    return found.flatmap(
        lambda each: st.lists(st.integers(0, 2**32 - 1), min_size=len(each), max_size=len(each)).map(
            lambda handles: list(zip(handles, each, strict=True))
        )
    )


MIXED = st.lists(data_values(variants()), min_size=1, max_size=12)
"""Values of any shapes."""
