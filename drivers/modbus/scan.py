"""A group of points made ready to be read: requests, decoders, and rows. No input or output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drivers.contract import DriverError, FailureKind, Point, PointGroup
from drivers.modbus.address import TABLE_NAMES, Place, extent, place
from drivers.modbus.client import read_request
from drivers.modbus.decode import Decoder, Item, arrange, size_of
from drivers.modbus.factors import Factors
from drivers.modbus.plan import Cost, Learned, Request, Span, plan
from drivers.modbus.remedies import NOTHING_THERE, REMEDIES
from drivers.quality import Quality

_SHOWN = 5
"""Ranges that a message names."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request ready to be sent, and what becomes of its answer."""

    request: Request
    message: Any
    decoder: Decoder
    size: int
    points: tuple[int, ...]

    @classmethod
    def of(cls, unit: int, request: Request, items: Sequence[Item], width: int) -> Ask:
        """Compile a request for the points that it covers."""
        span = request.span
        message = read_request(unit, span.function, span.start, span.count)
        points = tuple(item.point.index for item in items if item.point.index >= 0)
        return cls(request, message, Decoder(span, items, width), size_of(span, width), points)


class Scan:
    """Everything that a read of one group needs; valid as long as nothing new is learned.

    Registers that are read for the sake of others have rows, too, with the index -1; see :class:`Factors`.
    """

    def __init__(self, group: PointGroup, unit: int, cost: Cost, learned: Learned, register_bits: int = 16) -> None:
        self._unit, self._width, self.cost = unit, register_bits // 8, cost
        self.factors = Factors(register_bits)
        self.alone: set[Span] = set()
        """Spans that must be read as they are, and with nothing else."""
        wanted: dict[Span, list[tuple[Point, Place]]] = {}
        for point in group.points:
            found = place(point, register_bits)
            span = Span(found.function, *extent(point, found, register_bits))
            if point.block:
                self.alone.add(span)
            wanted.setdefault(span, []).append((point, found))
            for where, pair in self.factors.needed(point, span):
                wanted.setdefault(where, []).append(pair)
        self._items: dict[Span, list[Item]] = {span: [] for span in wanted}
        self._indices: list[int] = []
        self.asks: list[Ask] = []
        for request in plan(wanted, cost, learned, self.alone):
            spans = {id(point): span for span in request.wanted for point, _ in wanted[span]}
            pairs = arrange([pair for span in request.wanted for pair in wanted[span]])
            items = [self._seat(point, found, spans[id(point)]) for point, found in pairs]
            self.asks.append(Ask.of(unit, request, items, self._width))
        self.missing = sorted(wanted.keys() & learned.missing.keys(), key=by_address)
        first = len(self._indices)
        for span in self.missing:
            for point, found in wanted[span]:
                self._seat(point, found, span)
        self.missing_rows = slice(first, len(self._indices))
        self.spans = list(wanted)
        self.index = np.array(self._indices, np.int32)
        self.index.flags.writeable = False  # every block of this group shares it
        self.order = list(self.asks)
        """The asks in the order to send them: those that got no answer last time come last."""
        self.proven: set[int] = set()
        """Those that were answered at least once, by :func:`id`."""

    def _seat(self, point: Point, found: Place, span: Span) -> Item:
        item = Item(len(self._indices), point, found)
        self._indices.append(point.index)
        self._items[span].append(item)
        self.factors.seat(item)
        return item

    def part(self, request: Request) -> Ask:
        """An ask for part of a request."""
        return Ask.of(self._unit, request, [item for span in request.wanted for item in self._items[span]], self._width)

    def items(self, span: Span) -> Sequence[Item]:
        """What hangs on a span."""
        return self._items[span]


@dataclass(slots=True)
class Faults:
    """What went wrong with some points of a scan, gathered by cause."""

    _found: dict[tuple[Quality, str, str], tuple[list[Span], list[int]]] = field(default_factory=dict)

    def add(
        self, quality: Quality, reason: str, spans: Iterable[Span], points: Iterable[int], remedy: str = ""
    ) -> None:
        """Spans that have one reason; said together with all others of the same reason."""
        known, indices = self._found.setdefault((quality, reason, remedy), ([], []))
        known.extend(spans)
        indices.extend(points)

    def errors(self) -> tuple[DriverError, ...]:
        """One error for each cause; the same faults make the same words."""
        return tuple(
            DriverError(
                f"{reason} {show(spans)}" if reason == NOTHING_THERE else f"{show(spans)}: {reason}",
                kind=FailureKind.PARTIAL,
                quality=quality,
                remedy=remedy or REMEDIES.get(quality, ""),
                points=tuple(dict.fromkeys(points)),
            )
            for (quality, reason, remedy), (spans, points) in sorted(self._found.items(), key=lambda entry: entry[0])
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
