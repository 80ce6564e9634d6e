"""Numbers that belong to other numbers: powers of ten and ratios that the device holds in registers.

They are read into rows of their own, which nobody asked for, and go into the values when the scan is done.
A factor that is missing or absurd makes the value bad: a wrong number would look like a right one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.contract import Point
from drivers.modbus.address import Place, helper
from drivers.modbus.decode import Block, Item
from drivers.modbus.plan import Span
from drivers.quality import Quality

MOST_POWER = 10
"""Powers of ten from -10 to 10, as SunSpec has them; 0x8000 and whatever else is beyond means none."""

Pair = tuple[Point, Place]


@dataclass(frozen=True, slots=True)
class _Link:
    """A value and one of its factors, as points."""

    value: Point
    factor: Point
    power: bool


class Factors:
    """Which rows of a scan multiply which others."""

    def __init__(self, register_bits: int = 16) -> None:
        self._bits = register_bits
        self._helpers: dict[tuple[Span, str], Pair] = {}
        self._links: list[_Link] = []
        self._items: dict[int, Item | None] = {}
        """By :func:`id` of the points that are values or factors."""

    def __bool__(self) -> bool:
        return bool(self._links)

    def needed(self, point: Point, span: Span) -> Iterator[tuple[Span, Pair]]:
        """What has to be read besides for a point that is read within ``span``: where, and what there."""
        if point.scale_register:
            yield from self._need(point, point.scale_register, "int16", span)
        for address in point.factors:
            _, found = helper(address, "uint16", "ct_ratio", self._bits)
            yield from self._need(point, address, "uint16", Span.of(found))

    def _need(self, point: Point, address: str, type_: str, span: Span) -> Iterator[tuple[Span, Pair]]:
        key = (span, f"{type_} {address}")
        known = self._helpers.get(key)
        if known is None:
            known = self._helpers[key] = helper(address, type_, "", self._bits)
            yield span, known
        self._links.append(_Link(point, known[0], type_ == "int16"))
        self._items |= {id(point): None, id(known[0]): None}

    def seat(self, item: Item) -> None:
        """Note where a value, or a factor, has its row."""
        if id(item.point) in self._items:
            self._items[id(item.point)] = item

    def apply(self, block: Block) -> Iterator[tuple[Span, int]]:
        """Multiply; yields the factor's place and the value's index where a value became bad for want of it."""
        for link in self._links:
            value, by = self._items[id(link.value)], self._items[id(link.factor)]
            if value is None or by is None or block.quality[value.row] >= Quality.BAD:
                continue
            factor = float(block.value[by.row])
            usable = abs(factor) <= MOST_POWER if link.power else factor > 0
            if block.quality[by.row] >= Quality.BAD or not usable:
                block.value[value.row], block.quality[value.row] = np.nan, Quality.INVALID
                yield Span.of(by.place), link.value.index
            else:
                block.value[value.row] = _times(float(block.value[value.row]), link, factor)

    def kept(self, index: NDArray[np.int32]) -> NDArray[np.intp]:
        """The rows that somebody asked for."""
        return np.flatnonzero(index >= 0)


def _times(value: float, link: _Link, factor: float) -> float:
    plain = value - link.value.offset
    if not link.power:
        plain *= factor
    elif factor < 0:
        plain /= 10.0 ** -int(factor)  # 6553 / 10 is 655.3; 6553 * 0.1 is not
    else:
        plain *= 10.0 ** int(factor)
    return plain + link.value.offset
