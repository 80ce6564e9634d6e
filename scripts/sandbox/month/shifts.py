"""When machines are planned to be busy, reckoned from the calendar's words; independent of the agent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
Span = tuple[int, int]
"""From, up to and without; UTC microseconds."""
NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A calendar in the words of the configuration. ``free``: dates without shifts; ``extra``: dates with."""

    days: tuple[str, ...] = NAMES
    shifts: tuple[str, ...] = ("00:00-08:00", "08:00-16:00", "16:00-24:00")
    breaks: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


def moment(day: date, clock: str, zone: ZoneInfo) -> int:
    """A wall clock time of a day; ``24:00`` is the next midnight."""
    hour, minute = int(clock[:2]), int(clock[3:])
    if hour == 24:
        day, hour = day + timedelta(days=1), 0
    return int(datetime.combine(day, time(hour, minute), zone).timestamp()) * SECOND


def planned(plan: Plan, first: date, days: int, zone: ZoneInfo) -> list[Span]:
    """Planned busy time of so many days, the end of a shift that began the day before included."""
    shifts: list[Span] = []
    breaks: list[Span] = []
    for number in range(-1, days + 1):
        day = first + timedelta(days=number)
        works = day.isoformat() in plan.extra or (
            NAMES[day.weekday()] in plan.days and day.isoformat() not in plan.free
        )
        shifts += [_span(day, each, zone) for each in plan.shifts if works]
        breaks += [_span(day, each, zone) for each in plan.breaks]
    begin, end = moment(first, "00:00", zone), moment(first + timedelta(days=days), "00:00", zone)
    return cut(less(joined(shifts), joined(breaks)), begin, end)


def _span(day: date, words: str, zone: ZoneInfo) -> Span:
    begin, _, end = words.partition("-")
    start = moment(day, begin, zone)
    stop = moment(day, end, zone)
    return (start, stop) if stop > start else (start, moment(day + timedelta(days=1), end, zone))


def joined(spans: Iterable[Span]) -> list[Span]:
    """Ascending and apart."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        elif end > start:
            result.append((start, end))
    return result


def less(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """What of ``spans`` is in none of ``others``; both ascending and apart."""
    result: list[Span] = []
    for start, end in spans:
        for begin, after in others:
            if after <= start or begin >= end:
                continue
            if begin > start:
                result.append((start, begin))
            start = after
        if start < end:
            result.append((start, end))
    return result


def cut(spans: Iterable[Span], begin: int, end: int) -> list[Span]:
    """What of them lies within."""
    return [(max(start, begin), min(stop, end)) for start, stop in spans if stop > begin and start < end]
