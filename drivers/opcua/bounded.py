"""How much the library may make of one answer. It takes every length that a server writes at its word.

A list of a million empty texts is four million bytes on the wire and two hundred as objects; an array of
nothing costs no byte at all. So what it reads from counts the parts, and the three places where it makes
something of nothing are closed here, at its one import.
"""

from __future__ import annotations

from math import prod
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary

from drivers.opcua.extent import PARTS
from drivers.opcua.reading import Malformed, TooMuch

_BYTES_A_PART = 16
_DIMENSIONS = 16
_NEEDED = frozenset({ua.EUInformation, ua.EnumValueType})
"""Structures that something is made of; the others are not decoded."""


class Bounded(Buffer):
    """An answer's bytes, with an allowance of parts that its copies share."""

    def __init__(self, data: bytes, start_pos: int = 0, size: int = -1, left: list[int] | None = None) -> None:
        super().__init__(data, start_pos, size)
        self._left = [PARTS] if left is None else left

    def read(self, size: int) -> bytes:
        """Take bytes out; raises :class:`TooMuch`."""
        if size < 0:
            raise Malformed(f"a length of {size}")
        found = super().read(size)
        self._left[0] -= 1 + size // _BYTES_A_PART
        if self._left[0] < 0:
            raise TooMuch(f"an answer has more than {PARTS} parts")
        return found

    def copy(self, size: int = -1) -> Bounded:
        """A view of the same bytes."""
        return Bounded(self._data, self._cur_pos, self._size if size == -1 or size > self._size else size, self._left)


def _nothing(data: Any) -> None:
    data.read(0)  # even an array of nothing has a length that is counted


def _shaped(flat: list[Any], dimensions: list[int]) -> list[Any]:
    if len(dimensions) > _DIMENSIONS or min(dimensions, default=0) < 1 or prod(dimensions) != len(flat):
        return flat
    return _reshape(flat, dimensions)


def _structure(kind: Any, data: Any) -> Any:
    if isinstance(data, Bounded) and kind not in _NEEDED:
        data.skip(len(data))
        return kind()
    return _from_binary(kind, data)


_reshape, _from_binary = ua_binary._reshape, ua_binary.from_binary
ua_binary.Primitives.Null.unpack = _nothing  # type: ignore[method-assign]
ua_binary._reshape = _shaped  # type: ignore[assignment]
ua_binary.from_binary = _structure  # type: ignore[assignment]
