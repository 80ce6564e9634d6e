"""From the bytes of an answer to values. Pure, and compiled once for each request.

Points of one request with the same type and order are decoded in one numpy step. Rows of a block lie
in the order of the requests, so a step writes a slice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.contract import Point
from drivers.modbus.address import COIL, DISCRETE, REGISTERS, Place
from drivers.modbus.plan import Span
from drivers.quality import Quality
from drivers.sentinels import sentinel

Rows = slice | NDArray[np.intp]
Numbers = NDArray[Any]
Step = Callable[[bytes, "Block"], None]

_EXACT = 2**53
_DTYPES = {
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "int64": "i8",
    "uint64": "u8",
    "float32": "f4",
    "float64": "f8",
    "bcd16": "u2",
    "bcd32": "u4",
    "bool": "u2",
}
_HALVES = frozenset({"int8", "uint8", "int16", "uint16", "bcd16", "bool"})


@dataclass(slots=True)
class Block:
    """The values of one scan as they come in; a row that nothing was written to stays as it began."""

    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    time: NDArray[np.int64]
    text: dict[int, str] = field(default_factory=dict)

    @classmethod
    def blank(cls, rows: int) -> Block:
        """No values, all bad."""
        return cls(np.full(rows, np.nan), np.full(rows, Quality.BAD, np.uint8), np.zeros(rows, np.int64))

    def fail(self, rows: Rows, quality: Quality, time: int) -> None:
        """Rows that could not be read, whatever was there before."""
        self.value[rows] = np.nan
        self.quality[rows] = quality
        if self.text:
            for row in np.arange(len(self.value))[rows].tolist():
                self.text.pop(row, None)
        self.time[rows] = time


@dataclass(frozen=True, slots=True)
class Item:
    """A point on its place, to be written to a row."""

    row: int
    point: Point
    place: Place


class Decoder:
    """Decodes the answers to one request. ``rows``: where its points go."""

    def __init__(self, span: Span, items: Sequence[Item], width: int = 2) -> None:
        """``items`` whose rows are consecutive are decoded fastest; see :func:`arrange`. ``width``: bytes behind
        one register address."""
        self.rows = _rows([item.row for item in items])
        groups: dict[tuple[Any, ...], list[Item]] = {}
        for item in items:
            groups.setdefault(_kind(item), []).append(item)
        self._steps: list[Step] = [_step(_Area(span, width), group) for group in groups.values()]

    def decode(self, data: bytes, time: int, block: Block) -> None:
        """Write values, qualities and texts. ``data``: exactly the bytes that the span asks for."""
        block.time[self.rows] = time
        block.quality[self.rows] = Quality.GOOD
        for step in self._steps:
            step(data, block)


def size_of(span: Span, width: int = 2) -> int:
    """Bytes of data in the answer to a request for a span; ``width``: bytes behind one register address."""
    return (span.count + 7) // 8 if span.function in (COIL, DISCRETE) else width * span.count


@dataclass(frozen=True, slots=True)
class _Area:
    """What an answer holds: registers of ``width`` bytes from ``span.start``."""

    span: Span
    width: int

    def offset(self, item: Item) -> int:
        """Where a value begins. One of 16 bits lies in the low half of a register of 32."""
        half = 0
        if self.width == 4 and item.place.type in _HALVES and item.point.order in ("ABCD", "BADC"):
            half = 2
        return self.width * (item.place.address - self.span.start) + half


def arrange(points: Sequence[tuple[Point, Place]]) -> list[tuple[Point, Place]]:
    """The order of a request's points in which each step's rows are consecutive."""
    order: dict[tuple[Any, ...], list[tuple[Point, Place]]] = {}
    for point, place in points:
        order.setdefault(_kind(Item(0, point, place)), []).append((point, place))
    return [pair for key in order for pair in sorted(order[key], key=lambda pair: (pair[1].address, pair[1].bit or 0))]


def _kind(item: Item) -> tuple[Any, ...]:
    place = item.place
    bit = place.bit is not None or place.function in (COIL, DISCRETE)
    swapped = _swapped(item.point.order)
    order = item.point.order if REGISTERS[place.type] > 1 else ("BA" if swapped else "AB")
    return place.type, bit, "" if bit and not swapped else order


def _swapped(order: str) -> bool:
    """Whether the two bytes of each register are exchanged."""
    return order in ("BADC", "DCBA")


def _rows(rows: Sequence[int]) -> Rows:
    if rows and list(rows) == list(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[0] + len(rows))
    return np.array(rows, np.intp)


def _step(area: _Area, items: Sequence[Item]) -> Step:
    kind = items[0].place.type
    if kind == "string":
        return _Strings(area, items)
    span = area.span
    if span.function in (COIL, DISCRETE):
        return _Finish(items, _packed_bits([item.place.address - span.start for item in items]))
    if items[0].place.bit is not None:
        return _Finish(items, _register_bits(area, items))
    return _Finish(items, _numbers(area, items), _CHECKS.get(kind))


def _packed_bits(positions: Sequence[int]) -> Callable[[bytes], Numbers]:
    """Coils: the first of them is the lowest bit of the first byte."""
    rows = _rows(positions)

    def read(data: bytes) -> Numbers:
        bits: Numbers = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[rows]
        return bits

    return read


def _register_bits(area: _Area, items: Sequence[Item]) -> Callable[[bytes], Numbers]:
    """Bit n of a register is in its low byte for n < 8; exchanged bytes exchange the halves."""
    swapped = _swapped(items[0].point.order)
    bits = [(item.place.bit or 0) ^ (8 if swapped else 0) for item in items]
    offsets = [area.offset(item) + (bit < 8) for item, bit in zip(items, bits, strict=True)]
    at, shift = np.array(offsets, np.intp), np.array([bit % 8 for bit in bits], np.uint8)

    def read(data: bytes) -> Numbers:
        found: Numbers = np.frombuffer(data, np.uint8)[at] >> shift & 1
        return found

    return read


def _numbers(area: _Area, items: Sequence[Item]) -> Callable[[bytes], Numbers]:
    """Numbers of one type and order, as an array of their own type."""
    dtype = np.dtype(_DTYPES[items[0].place.type])
    order = items[0].point.order
    offsets = np.array([area.offset(item) for item in items], np.intp)
    if dtype.itemsize == 1:
        at = offsets + (0 if _swapped(order) else 1)
        return lambda data: np.frombuffer(data, dtype)[at]
    places = byte_places(dtype.itemsize, order)
    known = {tuple(range(dtype.itemsize)): dtype.newbyteorder(">")}
    known[tuple(range(dtype.itemsize))[::-1]] = dtype.newbyteorder("<")
    if places in known and (np.diff(offsets) == dtype.itemsize).all():
        run, count, first = known[places], len(items), int(offsets[0])
        return lambda data: np.frombuffer(data, run, count, first)
    gather = offsets[:, None] + np.array(places, np.intp)[None, :]
    wire = dtype.newbyteorder(">")
    return lambda data: np.frombuffer(data, np.uint8)[gather].view(wire)[:, 0]


def byte_places(size: int, order: str) -> tuple[int, ...]:
    """Where on the wire the bytes of a value lie, most significant first.

    ``ABCD``: as they come. ``CDAB``: registers the other way round. ``BADC``: the bytes of each register
    exchanged. ``DCBA``: both. For 64 bits the same with four registers; for 16 only the exchange counts.
    """
    registers = [(first, first + 1) for first in range(0, size, 2)]
    if order in ("CDAB", "DCBA"):
        registers.reverse()
    return tuple(byte for pair in registers for byte in (pair[::-1] if _swapped(order) else pair))


Check = Callable[[Numbers], tuple[Numbers, "NDArray[np.bool_] | None", Quality]]
"""The raw values, which of them the check marks, and the quality those get."""


def _check_bool(raw: Numbers) -> tuple[Numbers, None, Quality]:
    return raw != 0, None, Quality.GOOD


def _check_wide(raw: Numbers) -> tuple[Numbers, NDArray[np.bool_], Quality]:
    # A float64 cannot hold these exactly.
    beyond: NDArray[np.bool_] = raw > _EXACT
    if raw.dtype.kind == "i":
        beyond |= raw < -_EXACT
    return raw, beyond, Quality.IMPRECISE


def _check_bcd(raw: Numbers) -> tuple[Numbers, NDArray[np.bool_], Quality]:
    shifts = np.arange(0, 8 * raw.dtype.itemsize, 4, dtype=np.uint32)
    digits = raw.astype(np.uint32)[:, None] >> shifts & 0xF
    wrong: NDArray[np.bool_] = np.asarray((digits > 9).any(axis=1))
    return (digits * 10 ** np.arange(len(shifts), dtype=np.int64)).sum(axis=1), wrong, Quality.DECODE


_CHECKS: Mapping[str, Check] = {
    "bool": _check_bool,
    "int64": _check_wide,
    "uint64": _check_wide,
    "bcd16": _check_bcd,
    "bcd32": _check_bcd,
}


class _Finish:
    """Raw numbers to values: checked, compared with the sentinels, scaled, written to their rows."""

    def __init__(self, items: Sequence[Item], read: Callable[[bytes], Numbers], check: Check | None = None) -> None:
        points = [item.point for item in items]
        self._read = read
        self._check = check
        self._float = items[0].place.type in ("float32", "float64")
        self._rows = _rows([item.row for item in items])
        self._invalid = _sentinels(items)
        scaled = any(point.scale != 1.0 or point.offset != 0.0 for point in points)
        self._scale = np.array([point.scale for point in points]) if scaled else None
        self._offset = np.array([point.offset for point in points]) if scaled else None

    def __call__(self, data: bytes, block: Block) -> None:
        raw, marked, mark = self._read(data), None, Quality.GOOD
        if self._check is not None:
            raw, marked, mark = self._check(raw)
        if self._scale is None:
            block.value[self._rows] = raw
        else:
            with np.errstate(invalid="ignore", over="ignore"):
                block.value[self._rows] = raw * self._scale + self._offset
        if marked is not None:
            self._mark(block, marked, mark)
        if self._float:
            # An infinity is as little a measurement as a NaN is.
            self._mark(block, ~np.isfinite(block.value[self._rows]), Quality.INVALID)
        if self._invalid is not None:
            self._mark(block, (raw.astype(np.float64)[:, None] == self._invalid).any(axis=1), Quality.INVALID)

    def _mark(self, block: Block, marked: NDArray[np.bool_], quality: Quality) -> None:
        if not marked.any():
            return
        rows = self._rows
        block.quality[rows] = np.where(marked, np.uint8(quality), block.quality[rows])
        if quality >= Quality.BAD:
            block.value[rows] = np.where(marked, np.nan, block.value[rows])


def _sentinels(items: Sequence[Item]) -> NDArray[np.float64] | None:
    """One row an item, filled up with NaN, which equals nothing (and is always invalid anyway)."""
    width = max(len(item.point.invalid) for item in items)
    if not width:
        return None
    table = np.full((len(items), width), np.nan)
    for row, item in enumerate(items):
        for column, value in enumerate(item.point.invalid):
            plain = sentinel(value, item.place.type)
            # 9.9e36 is another number as a float32, and it is that one which the device sends.
            with np.errstate(over="ignore"):
                table[row, column] = np.float32(plain) if item.place.type == "float32" else plain
    return table


class _Strings:
    """Texts: cut at the first NUL, trailing spaces removed; UTF-8, else GB 18030 as Chinese devices write."""

    def __init__(self, area: _Area, items: Sequence[Item]) -> None:
        self._items = [(item.row, area.offset(item), item.point) for item in items]

    def __call__(self, data: bytes, block: Block) -> None:
        for row, first, point in self._items:
            raw = data[first : first + 2 * ((point.length + 1) // 2)]
            text = _text(_exchange(raw) if _swapped(point.order) else raw, point.length)
            block.value[row] = np.nan
            if text is None:
                block.quality[row] = Quality.DECODE
            else:
                block.text[row] = text


def _exchange(data: bytes) -> bytes:
    exchanged = bytearray(data)
    exchanged[::2], exchanged[1::2] = data[1::2], data[::2]
    return bytes(exchanged)


def _text(data: bytes, length: int) -> str | None:
    plain = data[:length].split(b"\0", 1)[0]
    for encoding in ("utf-8", "gb18030"):
        try:
            return plain.decode(encoding).rstrip(" ")
        except UnicodeDecodeError:
            continue
    return None
