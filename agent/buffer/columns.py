"""Columns of whole numbers as bytes. Pure.

A column is cut into groups (the rows of one series). Within a group each number is predicted from the
ones before it, and what is left is stored as byte planes: all lowest bytes, then all second ones, …,
each compressed on its own, so that the noisy low bytes do not spoil the runs in the high ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Starts = NDArray[np.intp]

Planes = list[Any] | dict[str, Any]

_PALETTE = 256
_ORDERS = 3
"""Predictions: 0 none, 1 the previous number, 2 the straight line through the previous two."""
_WORTH_BITS = 12
"""A group departs from the column's common prediction only when that saves more than saying so costs."""
_FORMAT = zstandard.FORMAT_ZSTD1_MAGICLESS
_PARAMETERS = zstandard.ZstdCompressionParameters.from_level(
    3, format=_FORMAT, write_content_size=False, write_checksum=False, write_dict_id=False
)


class Packer:
    """One compressor for the columns of one block; not to be shared between threads."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(compression_params=_PARAMETERS)

    def data(self, data: bytes) -> bytes | tuple[int, bytes]:
        """Bytes, compressed where that makes them fewer: ``(length, frame)``."""
        frame = self._zstd.compress(data) if len(data) > 16 else data
        return (len(data), frame) if len(frame) + 4 < len(data) else data

    def planes(self, numbers: NDArray[np.uint64]) -> Planes:
        """Unsigned numbers as planes, lowest byte first; a plane of one byte only is that byte.

        Two-byte numbers of which few are distinct become one plane of places in a palette.
        """
        if not len(numbers):
            return []
        largest = int(numbers.max())
        if 255 < largest < 65536 and len(numbers) > _PALETTE:
            used = np.bincount(numbers.astype(np.uint16)) > 0
            palette = np.flatnonzero(used)
            if len(palette) <= _PALETTE:
                place = (np.cumsum(used) - 1).astype(np.uint8)[numbers]
                return {"palette": palette.tolist(), "place": self._bytes(place.astype(np.uint64))}
        return self._bytes(numbers)

    def _bytes(self, numbers: NDArray[np.uint64]) -> list[Any]:
        largest = int(numbers.max())
        size = next(size for size in (1, 2, 4, 8) if largest < 1 << (8 * size))
        used = max(1, (largest.bit_length() + 7) // 8)
        table = numbers.astype(f"<u{size}").view(np.uint8).reshape(-1, size)
        planes: list[Any] = []
        for column in range(used):
            plane = np.ascontiguousarray(table[:, column])
            constant = bool((plane == plane[0]).all())
            planes.append(int(plane[0]) if constant else self.data(plane.tobytes()))
        return planes

    def column(self, numbers: Ints, starts: Starts) -> list[Any]:
        """A column in groups that begin at ``starts`` (ascending, the first 0); see :meth:`Unpacker.column`."""
        if not len(numbers):
            return []
        steps = [numbers, _difference(numbers)]
        steps.append(_difference(steps[1]))
        # Across a group's border nothing is predicted: its first row goes with the other first rows,
        # and a straight line needs two rows before.
        second = starts[np.diff(starts, append=len(numbers)) > 1] + 1
        steps[2][second] = steps[1][second]
        zigzags = [_zigzag(step) for step in steps]
        rest = np.ones(len(numbers), bool)
        rest[starts] = False
        common, orders = _choose(zigzags, rest, starts)
        chosen = zigzags[common]
        if orders.any():
            of_row = np.repeat(orders, np.diff(starts, append=len(numbers)))
            for extra in np.flatnonzero(np.bincount(orders))[1:].tolist():
                chosen = np.where(of_row == extra, zigzags[(common + extra) % _ORDERS], chosen)
        firsts = numbers[starts]
        return [
            common,
            self.planes(orders.astype(np.uint64)),
            self._firsts(firsts),
            self.planes(chosen[rest]),
        ]

    def _firsts(self, firsts: Ints) -> list[Any]:
        plain, step = _zigzag(firsts), _zigzag(_difference(firsts))
        order = int(_bits(step).sum() < _bits(plain).sum())
        return [order, self.planes(step if order else plain)]


class Unpacker:
    """The reverse of :class:`Packer`. Raises ValueError, TypeError or ZstdError for what is not sound."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor(format=_FORMAT)

    def data(self, packed: Any) -> bytes:
        """What :meth:`Packer.data` was given."""
        if isinstance(packed, bytes):
            return packed
        length, frame = packed
        return self._zstd.decompress(frame, max_output_size=length)

    def planes(self, planes: Planes, count: int) -> NDArray[np.uint64]:
        """What :meth:`Packer.planes` was given."""
        if isinstance(planes, dict):
            palette = np.array(planes["palette"], np.uint64)
            return palette[self._bytes(planes["place"], count)]
        return self._bytes(planes, count)

    def _bytes(self, planes: Sequence[Any], count: int) -> NDArray[np.uint64]:
        if not count or not any(planes):
            return np.zeros(count, np.uint64)
        size = next(size for size in (1, 2, 4, 8) if len(planes) <= size)
        table = np.zeros((count, size), np.uint8)
        for column, plane in enumerate(planes):
            table[:, column] = plane if isinstance(plane, int) else np.frombuffer(self.data(plane), np.uint8)
        return table.view(f"<u{size}").reshape(-1).astype(np.uint64)

    def column(self, packed: Sequence[Any], starts: Starts, count: int) -> Ints:
        """The column that :meth:`Packer.column` was given, with the same groups."""
        if not count:
            return np.empty(0, np.int64)
        common, orders_packed, (first_order, firsts_packed), rest_packed = packed
        firsts = _unzigzag(self.planes(firsts_packed, len(starts)))
        if first_order:
            firsts = np.cumsum(firsts)
        numbers = np.zeros(count, np.int64)
        rest = np.ones(count, bool)
        rest[starts] = False
        numbers[rest] = _unzigzag(self.planes(rest_packed, count - len(starts)))
        counts = np.diff(starts, append=count)
        extra = self.planes(orders_packed, len(starts)).astype(np.int64)
        if not any(orders_packed):
            return _integrate(numbers, firsts, starts, counts, common)
        result = np.empty(count, np.int64)
        of_row = np.repeat((extra + common) % _ORDERS, counts)
        for order in np.unique(of_row).tolist():
            result = np.where(of_row == order, _integrate(numbers, firsts, starts, counts, order), result)
        return result


def _integrate(steps: Ints, firsts: Ints, starts: Starts, counts: Ints, order: int) -> Ints:
    numbers = _running_sum(steps, starts, counts) if order == 2 else steps.copy()
    numbers[starts] = firsts
    return _running_sum(numbers, starts, counts) if order else numbers


def _running_sum(numbers: Ints, starts: Starts, counts: Ints) -> Ints:
    """Sum from each group's start; wraps around like the differences did, so it is exact."""
    total = np.cumsum(numbers)
    if len(starts) == 1:
        return total
    before = total[starts] - numbers[starts]
    return total - np.repeat(before, counts)


def _choose(zigzags: Sequence[NDArray[np.uint64]], rest: NDArray[np.bool_], starts: Starts) -> tuple[int, Any]:
    """The common prediction, and for each group how far its own is from that (0: the same)."""
    costs = []
    for zigzag in zigzags:
        bits = _bits(zigzag)
        bits[~rest] = 0
        costs.append(np.add.reduceat(bits, starts))
    table = np.stack(costs)
    common = int(table.sum(axis=1).argmin())
    best = table.argmin(axis=0)
    saves = table[common] - table.min(axis=0) > _WORTH_BITS
    return common, np.where(saves, (best - common) % _ORDERS, 0)


def _bits(numbers: NDArray[np.uint64]) -> Ints:
    """About how many bits each number takes; from the exponent, since that is quick."""
    exponent = numbers.astype(np.float64).view(np.int64) >> 52
    bits: Ints = np.maximum(exponent - 1022, 0)
    return bits


def _difference(numbers: Ints) -> Ints:
    steps = numbers.copy()
    steps[1:] -= numbers[:-1]
    return steps


def _zigzag(numbers: Ints) -> NDArray[np.uint64]:
    return ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)


def _unzigzag(numbers: NDArray[np.uint64]) -> Ints:
    whole: Ints = (numbers >> np.uint64(1)).view(np.int64) ^ -(numbers & np.uint64(1)).view(np.int64)
    return whole
