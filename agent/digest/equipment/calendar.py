"""Planned busy time: shifts on the days that have them, without breaks and holidays, in the plant's zone. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from agent.config.model import CalendarSection
from agent.digest.equipment.steps import Intervals
from agent.digest.windows import SECOND, Period

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Calendar:
    """A calendar in a time zone.

    A shift that ends before it begins passes midnight, and belongs to the day on which it begins. Times are
    wall clock: a shift over a change of the clocks is an hour shorter or longer.
    """

    def __init__(self, section: CalendarSection, zone: ZoneInfo) -> None:
        self._zone = zone
        self._days = frozenset(_DAYS.index(day) for day in section.days)
        self._shifts = [_minutes(span) for span in section.shifts]
        self._breaks = [_minutes(span) for span in section.breaks]
        self._holidays = frozenset(date.fromisoformat(day) for day in section.holidays)
        self._extra = frozenset(date.fromisoformat(day) for day in section.working_days)

    def planned(self, period: Period) -> Intervals:
        """The planned busy time within a period."""
        shifts = Intervals.of([span for _, _, span in self._all_shifts(period)])
        breaks = Intervals.of([self._span(day, each) for day in self._dates(period) for each in self._breaks])
        return shifts.without(breaks).clipped(period.start, period.end)

    def shifts(self, period: Period) -> list[tuple[str, Period]]:
        """The shifts that begin in a period: name (``2026-11-23/1``) and span, breaks included."""
        return [
            (f"{day.isoformat()}/{number}", Period(*span))
            for day, number, span in self._all_shifts(period)
            if period.start <= span[0] < period.end
        ]

    def works(self, day: date) -> bool:
        """Whether there are shifts on that day."""
        if day in self._extra:
            return True
        return day.weekday() in self._days and day not in self._holidays

    def _all_shifts(self, period: Period) -> Iterator[tuple[date, int, tuple[int, int]]]:
        for day in self._dates(period):
            if self.works(day):
                for number, shift in enumerate(self._shifts, 1):
                    yield day, number, self._span(day, shift)

    def _dates(self, period: Period) -> Iterator[date]:
        # From the day before: its shift may pass midnight.
        day = datetime.fromtimestamp(period.start // SECOND, self._zone).date() - timedelta(days=1)
        last = datetime.fromtimestamp(period.end // SECOND, self._zone).date()
        while day <= last:
            yield day
            day += timedelta(days=1)

    def _span(self, day: date, minutes: tuple[int, int]) -> tuple[int, int]:
        return self._utc(day, minutes[0]), self._utc(day, minutes[1])

    def _utc(self, day: date, minutes: int) -> int:
        later, minute = divmod(minutes, 1440)
        moment = datetime.combine(day + timedelta(days=later), datetime.min.time(), self._zone)
        return round(moment.replace(hour=minute // 60, minute=minute % 60).timestamp()) * SECOND


def _minutes(span: str) -> tuple[int, int]:
    """``22:00-06:00`` as minutes since the midnight before: (1320, 1800)."""
    begin, _, end = span.partition("-")
    start, stop = (int(text[:2]) * 60 + int(text[3:]) for text in (begin, end))
    return start, stop if stop > start else stop + 1440
