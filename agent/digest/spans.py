"""Shifts, days, weeks and months of the plant, and when the digest of one is due. Pure.

A period belongs to each span in which it begins. So a span is complete with the last period that begins in
it, and its digest follows that period's in the chain: which ones those are is told by that period and the
begin of the next one alone, whatever happened in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from agent.digest.equipment.calendar import Calendar
from agent.digest.rollups import day_begin
from agent.digest.windows import DAY, SECOND, Period

CalendarKind = Literal["day", "week", "month"]
CALENDAR_KINDS: tuple[CalendarKind, ...] = get_args(CalendarKind)
RollupKind = Literal["shift", "day", "week", "month"]
KINDS: tuple[RollupKind, ...] = get_args(RollupKind)
"""Shortest first, which is their order in the chain behind a period."""
RANK: Mapping[str, int] = {kind: rank for rank, kind in enumerate(("period", *KINDS))}

_LONGEST_SHIFT = 2 * DAY


@dataclass(frozen=True, slots=True, order=True)
class Rolled:
    """A span of which there is to be a digest. ``machines``: those that work a shift; empty for other kinds."""

    rank: int
    span: Period
    machines: tuple[str, ...] = ()

    @property
    def kind(self) -> RollupKind:
        """``shift``, ``day``, ``week`` or ``month``."""
        return KINDS[self.rank - 1]


def calendar_span(kind: CalendarKind, day: date, zone: ZoneInfo) -> Period:
    """The day, the week from Monday on, or the month that holds ``day``, from midnight to midnight of the plant:
    longer or shorter by an hour where the clocks change."""
    first, after = day, day + timedelta(days=1)
    if kind == "week":
        first -= timedelta(days=first.weekday())
        after = first + timedelta(days=7)
    elif kind == "month":
        first = first.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    return Period(day_begin(first, zone), day_begin(after, zone))


def spans_of(
    time: int, zone: ZoneInfo, kinds: Collection[str], calendars: Mapping[str, Calendar | None]
) -> list[Rolled]:
    """All spans of these kinds that hold ``time``, in the order of their digests. ``calendars``: by machine."""
    day = datetime.fromtimestamp(time // SECOND, zone).date()
    found = [Rolled(RANK["shift"], span, names) for span, names in _shifts(time, calendars)]
    found += [Rolled(RANK[kind], calendar_span(kind, day, zone)) for kind in CALENDAR_KINDS]
    chosen = [each for each in found if each.kind in kinds]
    return sorted(chosen, key=lambda each: (each.rank, each.span.end, each.span.start))


def due(spans: Iterable[Rolled], following: int) -> list[Rolled]:
    """Those of the spans that hold the begin of one period which are complete, when the next one begins at
    ``following``."""
    return [each for each in spans if each.span.end <= following]


def _shifts(time: int, calendars: Mapping[str, Calendar | None]) -> list[tuple[Period, tuple[str, ...]]]:
    machines: dict[Period, list[str]] = {}
    for name, calendar in calendars.items():
        for _, span in calendar.shifts(Period(time - _LONGEST_SHIFT, time + 1)) if calendar else ():
            if span.start <= time < span.end:
                machines.setdefault(span, []).append(name)
    return [(span, tuple(sorted({*names}))) for span, names in machines.items()]
