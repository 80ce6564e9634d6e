"""A group of points made ready to be read: requests, decoders, and rows. No input or output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drivers.contract import DriverError, FailureKind, Point, PointGroup
from drivers.modbus.address import TABLE_NAMES, Place, place
from drivers.modbus.client import read_request
from drivers.modbus.decode import Decoder, Item, arrange, size_of
from drivers.modbus.plan import Cost, Learned, Request, Span, plan
from drivers.quality import Quality

_SHOWN = 5
"""Ranges that a message names."""

NOTHING_THERE = "the device has nothing at"
REMEDIES: Mapping[Quality, str] = {
    Quality.ADDRESS: "check the address in the device's manual; it may count from 1, or from 40001",
    Quality.REFUSED: "the device does not offer this table; check whether the manual means another",
    Quality.TIMEOUT: "check power, cable and unit id; if the device is slow, raise timeout",
    Quality.CONNECTION: "check cable and power; some devices allow only one or two connections",
    Quality.MALFORMED: "check unit id and transport; on a serial line also baudrate, parity and wiring",
    Quality.DEVICE: "the device reports a fault of its own; look at its display or program",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request ready to be sent, and what becomes of its answer."""

    request: Request
    message: Any
    decoder: Decoder
    size: int
    points: tuple[int, ...]

    @classmethod
    def of(cls, unit: int, request: Request, items: Sequence[Item]) -> Ask:
        """Compile a request for the points that it covers."""
        span = request.span
        message = read_request(unit, span.function, span.start, span.count)
        points = tuple(item.point.index for item in items)
        return cls(request, message, Decoder(span, items), size_of(span), points)


class Scan:
    """Everything that a read of one group needs; valid as long as nothing new is learned."""

    def __init__(self, group: PointGroup, unit: int, cost: Cost, learned: Learned) -> None:
        self._unit = unit
        wanted: dict[Span, list[tuple[Point, Place]]] = {}
        for point in group.points:
            found = place(point)
            wanted.setdefault(Span.of(found), []).append((point, found))
        self._items: dict[Span, list[Item]] = {span: [] for span in wanted}
        self._indices: list[int] = []
        self.asks: list[Ask] = []
        for request in plan(wanted, cost, learned):
            pairs = arrange([pair for span in request.wanted for pair in wanted[span]])
            self.asks.append(Ask.of(unit, request, [self._seat(point, found) for point, found in pairs]))
        first_missing = len(self._indices)
        self.missing = sorted(wanted.keys() & learned.missing, key=by_address)
        for span in self.missing:
            for point, found in wanted[span]:
                self._seat(point, found)
        self.missing_rows = slice(first_missing, len(self._indices))
        self.missing_points = tuple(self._indices[first_missing:])
        self.index = np.array(self._indices, np.int32)
        self.index.flags.writeable = False  # every block of this group shares it
        self.order = list(self.asks)
        """The asks in the order to send them: those that got no answer last time come last."""

    def _seat(self, point: Point, found: Place) -> Item:
        item = Item(len(self._indices), point, found)
        self._indices.append(point.index)
        self._items[Span.of(found)].append(item)
        return item

    def part(self, request: Request) -> Ask:
        """An ask for part of a request."""
        return Ask.of(self._unit, request, [item for span in request.wanted for item in self._items[span]])


@dataclass(slots=True)
class Faults:
    """What went wrong with some points of a scan, gathered by cause."""

    _found: dict[tuple[Quality, str], tuple[list[Span], list[int]]] = field(default_factory=dict)

    def add(self, quality: Quality, reason: str, spans: Iterable[Span], points: Iterable[int]) -> None:
        """Spans that have one reason; said together with all others of the same reason."""
        known, indices = self._found.setdefault((quality, reason), ([], []))
        known.extend(spans)
        indices.extend(points)

    def errors(self) -> tuple[DriverError, ...]:
        """One error for each cause; the same faults make the same words."""
        return tuple(
            DriverError(
                f"{reason} {show(spans)}" if reason == NOTHING_THERE else f"{show(spans)}: {reason}",
                kind=FailureKind.PARTIAL,
                quality=quality,
                remedy=REMEDIES.get(quality, ""),
                points=tuple(points),
            )
            for (quality, reason), (spans, points) in sorted(self._found.items(), key=lambda entry: entry[0])
        )


def show(spans: Iterable[Span]) -> str:
    """``holding:100-103, coil:7 and 2 more``."""
    found = ranges(spans)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def ranges(spans: Iterable[Span]) -> list[str]:
    """Addresses as people write them, what touches taken together."""
    joined: list[Span] = []
    for span in sorted(spans, key=by_address):
        last = joined[-1] if joined else None
        if last and last.function == span.function and span.start <= last.end:
            joined[-1] = Span(span.function, last.start, max(last.end, span.end))
        else:
            joined.append(span)
    return [
        f"{TABLE_NAMES[span.function]}:{span.start}" + (f"-{span.end - 1}" if span.count > 1 else "") for span in joined
    ]


def by_address(span: Span) -> tuple[int, int, int]:
    return span.function, span.start, span.end
