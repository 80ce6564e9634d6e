"""Digest periods: aligned stretches of UTC, without gaps between them. Pure.

Periods shorter than a day are aligned to multiples of their length since 1970 in UTC, which is how a
platform lays gateways side by side. Whole days are aligned to midnight in the plant's zone, so a day
has 23 or 25 hours where the clocks change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

SECOND = 1_000_000
DAY = 86_400 * SECOND

MOST_MISSING = 4_000
"""Missing periods that are reported one by one; what is older than these becomes one long period."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """From ``start`` up to, and without, ``end``; UTC microseconds."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Microseconds."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Windows:
    """The periods of one configured length (microseconds).

    ``running_until``: a period that was begun with another length ends here (UTC microseconds).
    """

    length: int
    zone: ZoneInfo
    running_until: int = 0

    def start_of(self, time: int) -> int:
        """Start of the aligned period that holds ``time``."""
        if self.length % DAY:
            return time - time % self.length
        return self._midnight(self._first_day(time))

    def end_of(self, time: int) -> int:
        """End of the aligned period that holds ``time``; always after ``time``."""
        if time < self.running_until:
            return self.running_until
        if self.length % DAY:
            return self.start_of(time) + self.length
        return self._midnight(self._first_day(time) + self.length // DAY)

    def closed(self, start: int, now: int, most: int | None = None) -> Iterator[Period]:
        """Periods from ``start`` on that have ended by ``now``, oldest first.

        The first one is shorter than the others when ``start`` is not aligned (the period's length was
        changed). After an absence of more than ``most`` (:data:`MOST_MISSING`) periods the surplus comes first, as
        one long period: nothing is left out, and a gateway found in a cupboard is soon up to date.
        """
        most = MOST_MISSING if most is None else most
        if (now - start) // self.length > most:
            end = self.start_of(now - most * self.length)
            yield Period(start, end)
            start = end
        while (end := self.end_of(start)) <= now:
            yield Period(start, end)
            start = end

    def _first_day(self, time: int) -> int:
        local = datetime.fromtimestamp(time // SECOND, self.zone)
        days = self.length // DAY
        return local.toordinal() // days * days

    def _midnight(self, ordinal: int) -> int:
        day = date.fromordinal(ordinal)
        return round(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp()) * SECOND


def iso(time: int) -> str:
    """``2026-11-23T05:15:00Z``; with the shortest fraction that is exact where there is one."""
    whole, rest = divmod(time, SECOND)
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{rest:06d}".rstrip("0") if rest else "") + "Z"
