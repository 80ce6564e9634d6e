"""From places to requests: which registers to ask for together. Pure.

Merging two places saves the fixed cost of a request and pays for the bytes of the gap between them.
What both cost depends on the link: on a serial line a byte is a millisecond, on a network nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from drivers.modbus.address import COIL, DISCRETE, Place
from drivers.modbus.options import Link, Options

_BITS = (COIL, DISCRETE)
_REQUEST_BYTES, _ANSWER_BYTES = 8, 5
"""An RTU request, and what surrounds the data of an answer."""
_TURNAROUND_S = 0.003
"""A serial device's own time to answer: unknown, and never nothing."""
_NETWORK_S = 0.002
"""A network request: round trip, the PLC's time, our own. So dear that a gap is always cheaper."""
_NETWORK_BYTE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Span:
    """Registers (or bits) of one table that belong together: ``start`` to before ``end``."""

    function: int
    start: int
    end: int

    @classmethod
    def of(cls, place: Place) -> Span:
        """The span of a value; it is never split."""
        return cls(place.function, place.address, place.end)

    @property
    def count(self) -> int:
        """Registers or bits."""
        return self.end - self.start

    def overlaps(self, other: Span) -> bool:
        """Whether they share an address."""
        return self.function == other.function and self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Request:
    """One request: a span, and the spans inside it that somebody wants, in order of address."""

    span: Span
    wanted: tuple[Span, ...]

    @classmethod
    def around(cls, wanted: Sequence[Span]) -> Request:
        """The smallest request that covers spans sorted by address."""
        return cls(Span(wanted[0].function, wanted[0].start, max(span.end for span in wanted)), tuple(wanted))

    def halves(self) -> tuple[Request, Request] | None:
        """Two requests for the same, cut at the widest gap, or in the middle where there is none.

        Spans that overlap are parted only where nothing else can be. None for a single span.
        """
        middle, reach = (self.span.start + self.span.end) / 2, self.wanted[0].end
        cuts: list[tuple[int, float, int]] = []
        for number, span in enumerate(self.wanted[1:], 1):
            cuts.append((reach - span.start, abs(span.start - middle), number))
            reach = max(reach, span.end)
        if not cuts:
            return None
        cut = min(cuts)[2]
        return Request.around(self.wanted[:cut]), Request.around(self.wanted[cut:])


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that requests take on a link, and how large they may be."""

    request_s: float
    byte_s: float
    max_registers: int = 125
    max_bits: int = 2000
    max_gap: int | None = None

    @classmethod
    def of(cls, link: Link, options: Options) -> Cost:
        """The cost model of a link."""
        limits = (options.most_registers, options.max_bits, options.max_gap)
        if not link.serial:
            return cls(_NETWORK_S, _NETWORK_BYTE_S, *limits)
        char_s = link.char_s * (2 if link.transport == "ascii" else 1)
        fixed = (_REQUEST_BYTES + _ANSWER_BYTES) * char_s + 2 * link.silence_s + _TURNAROUND_S
        return cls(fixed, char_s, *limits)

    def limit(self, function: int) -> int:
        """Most registers or bits in a request."""
        return self.max_bits if function in _BITS else self.max_registers

    def seconds(self, span: Span) -> float:
        """What asking for a span costs; bits are counted as parts of bytes."""
        return self.request_s + span.count * self.unit_s(span.function)

    def unit_s(self, function: int) -> float:
        """What each register or bit adds."""
        return self.byte_s / 8 if function in _BITS else self.byte_s * 2


@dataclass(slots=True)
class Learned:
    """What a device's refusals have taught: where it has nothing, and what it does not read together.

    ``missing``: spans that it refused even alone, and with which exception code; ``passing``: those among them
    that were answered before, or refused for a reason that goes away. ``gaps``: spans that nobody wants and that
    spoil a request across them. ``borders``: by table, addresses that no request may cross. ``limits``: by
    table, the largest request it accepts.
    """

    missing: dict[Span, int] = field(default_factory=dict)
    passing: set[Span] = field(default_factory=set)
    gaps: set[Span] = field(default_factory=set)
    borders: dict[int, set[int]] = field(default_factory=dict)
    limits: dict[int, int] = field(default_factory=dict)


def plan(spans: Iterable[Span], cost: Cost, learned: Learned, alone: Collection[Span] = frozenset()) -> list[Request]:
    """Requests that cover every span which is not missing, at the least cost.

    No request is larger than allowed, splits a span, covers a missing span or gap, crosses a border,
    or costs more than asking for its spans one by one. Spans that are ``alone`` are requests of their own, and
    no other reads across them.
    """
    by_table: dict[int, list[Span]] = {}
    single: list[Request] = []
    for span in sorted(set(spans), key=lambda each: (each.function, each.start, each.end)):
        if span in learned.missing:
            continue
        if span in alone:
            single.append(Request.around([span]))
        else:
            by_table.setdefault(span.function, []).append(span)
    return single + [
        request
        for function in by_table
        for request in _Table(function, cost, learned, alone).requests(by_table[function])
    ]


class _Table:
    """Planning within one table."""

    def __init__(self, function: int, cost: Cost, learned: Learned, alone: Collection[Span]) -> None:
        self._cost = cost
        self._limit = min(cost.limit(function), learned.limits.get(function, 65536))
        self._borders = sorted(learned.borders.get(function, ()))
        holes = sorted(
            (span.start, span.end) for span in (*learned.missing, *learned.gaps, *alone) if span.function == function
        )
        self._hole_starts = [start for start, _ in holes]
        self._reach = list(accumulate((end for _, end in holes), max))
        """By hole: how far it and those before it reach."""

    def requests(self, spans: Sequence[Span]) -> list[Request]:
        """The cheapest way to divide the table's spans into requests."""
        runs = self._runs(spans)
        found: list[Request] = []
        for first, end in self._divide([run.span for run in runs]):
            found.append(Request.around([span for run in runs[first:end] for span in run.wanted]))
        return found

    def _divide(self, runs: Sequence[Span]) -> list[tuple[int, int]]:
        """Which runs go together, as (first, behind the last).

        ``best[n]`` is the least cost of the first n runs. A request from run f to run l costs a fixed
        part and the distance from f's start to l's end, so the best f for each l is the least of
        ``best[f] - distance to f's start`` in a window that only moves on: linear in the number of runs.
        """
        unit = self._cost.unit_s(runs[0].function)
        best, first_of, score = [0.0], [0] * len(runs), [0.0] * len(runs)
        window: deque[int] = deque()
        for last, run in enumerate(runs):
            if last and not self._mergeable(runs[last - 1].end, run.start):
                window.clear()
            score[last] = best[last] - unit * run.start
            while window and score[window[-1]] >= score[last]:
                window.pop()
            window.append(last)
            while run.end - runs[window[0]].start > self._limit and len(window) > 1:
                window.popleft()
            first_of[last] = window[0]
            best.append(score[window[0]] + unit * run.end + self._cost.request_s)
        parts, end = [], len(runs)
        while end:
            parts.append((first_of[end - 1], end))
            end = first_of[end - 1]
        return parts[::-1]

    def _runs(self, spans: Sequence[Span]) -> list[Request]:
        """Spans that touch or overlap always go together, as far as the limit allows."""
        runs: list[list[Span]] = []
        start = end = -1
        for span in spans:
            joined = max(end, span.end)
            if runs and span.start <= end and joined - start <= self._limit and self._whole(start, joined, span.start):
                runs[-1].append(span)
            else:
                runs.append([span])
                start, joined = span.start, span.end
            end = joined
        return [Request.around(run) for run in runs]

    def _whole(self, start: int, end: int, joint: int) -> bool:
        # A border inside a single span cannot be kept: the span is never split.
        at = bisect_left(self._borders, joint)
        return not (at < len(self._borders) and start < self._borders[at] < end)

    def _mergeable(self, end: int, start: int) -> bool:
        """Whether a request may read across from ``end`` to ``start``."""
        if start <= end:  # they touch or overlap, and are two runs because they must be
            return False
        if self._cost.max_gap is not None and start - end > self._cost.max_gap:
            return False
        at = bisect_left(self._borders, end)
        if at < len(self._borders) and self._borders[at] <= start:
            return False
        before = bisect_left(self._hole_starts, start)
        return not before or self._reach[before - 1] <= end
