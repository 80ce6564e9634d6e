"""Points as monitored items, or as nodes to read: compiled once. Pure.

An item is one node that the server is asked about, with the points that are made of its value: mostly
one, or several elements of an array. The position of an item in the list is its client handle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TypeVar

from drivers.contract import Point
from drivers.opcua.address import Address, parse

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Item:
    """A node and the points made of it."""

    address: Address
    """Without the index of an element."""
    points: tuple[Point, ...]
    interval: float
    """Seconds between samples."""
    deadband: float
    """Absolute, in the server's numbers; 0: every change."""

    @property
    def name(self) -> str:
        """The point's name, for messages; of several the first."""
        return self.points[0].name


def compile_items(points: Iterable[Point]) -> tuple[Item, ...]:
    """The items for these points, in the order of their first points."""
    gathered: dict[tuple[Address, float], list[Point]] = {}
    for point in points:
        address = replace(parse(point.address), index=None)
        gathered.setdefault((address, point.interval), []).append(point)
    return tuple(
        Item(address, tuple(of), interval, min(map(_deadband, of))) for (address, interval), of in gathered.items()
    )


def _deadband(point: Point) -> float:
    return point.deadband / abs(point.scale) if point.scale else inf


def batches(of: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Parts of at most ``size``, in order."""
    for start in range(0, len(of), size):
        yield of[start : start + size]
