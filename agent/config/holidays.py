"""Holidays and make-up working days: of a calendar's own lists, and of a file beside the configuration.

A line of the file is a date or a range of dates, and what it is::

    2026-10-01..2026-10-07 holiday   # National Day
    2026-10-10 working               # a Saturday that is worked
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import msgspec

from agent.config.model import CalendarSection, EquipmentSection, FileSection
from agent.config.problems import Place, Problems, did_you_mean, show
from agent.config.references import Unreadable, read_file
from agent.config.tables import text_of

LARGEST_FILE = 1024 * 1024
LONGEST_RANGE = 366
DATES = 'write "2026-10-01", or a range: "2026-10-01..2026-10-07"'

_WORDS = {"holiday": False, "working": True, "休": False, "班": True}
"""What a day can be: whether there are shifts. The last two are what calendars in China print."""
_RANGE = re.compile(r"(\d{4}-\d\d-\d\d)(?:\s*\.\.\s*(\d{4}-\d\d-\d\d))?")

Days = dict[date, bool]
"""Whether there are shifts on a day, whatever day of the week it is."""


def with_calendars(file: FileSection, folder: Path, root: Place, problems: Problems) -> FileSection:
    """The same with every calendar's days as single dates, in order; what a file says stands in the lists then.

    A calendar's own lists have the last word.
    """
    read: dict[str, Days] = {}
    equipment = tuple(
        _with_calendar(each, folder, (((root, "equipment"), position), "calendar"), problems, read)
        for position, each in enumerate(file.equipment)
    )
    return msgspec.structs.replace(file, equipment=equipment)


def _with_calendar(
    section: EquipmentSection, folder: Path, place: Place, problems: Problems, read: dict[str, Days]
) -> EquipmentSection:
    calendar = section.calendar
    if calendar is None or not (calendar.holidays_file or calendar.holidays or calendar.working_days):
        return section
    name = calendar.holidays_file
    if name and name not in read:
        read[name] = _of_file(folder / name, name, (place, "holidays_file"), problems)
    days = {**read.get(name, {}), **_of_lists(calendar, place, problems)}
    expanded = msgspec.structs.replace(
        calendar,
        holidays_file="",
        holidays=tuple(day.isoformat() for day, works in sorted(days.items()) if not works),
        working_days=tuple(day.isoformat() for day, works in sorted(days.items()) if works),
    )
    return msgspec.structs.replace(section, calendar=expanded)


def _of_lists(calendar: CalendarSection, place: Place, problems: Problems) -> Days:
    days: Days = {}
    for key, works in (("holidays", False), ("working_days", True)):  # of both, the working day holds
        for position, text in enumerate(getattr(calendar, key)):
            here: Place = ((place, key), position)
            found = _RANGE.fullmatch(text)
            if found is None:
                problems.add(here, f"{show(text)} is no date", DATES)
            else:
                days |= dict.fromkeys(_dates(found, here, problems), works)
    return days


def _of_file(path: Path, name: str, place: Place, problems: Problems) -> Days:
    try:
        data = read_file(path, LARGEST_FILE)
    except Unreadable as error:
        problems.add(place, str(error), error.remedy)
        return {}
    return read_days(data, name, problems)


def read_days(data: bytes, source: str, problems: Problems) -> Days:
    """The days of a file; ``source``: its name in messages."""
    text = text_of(data, source, problems)
    if text is None:
        return {}
    days: Days = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if words:
            _read_line(words, f"{source}:{number}", days, problems)
    return days


def _read_line(words: str, place: Place, days: Days, problems: Problems) -> None:
    found = _RANGE.match(words)
    if found is None:
        problems.add(place, f"{show(words)} does not begin with a date", "write 2026-10-01..2026-10-07 holiday")
        return
    word = words[found.end() :].strip().casefold()
    if word and word not in _WORDS:
        problems.add(place, f"{show(word)} is no kind of day", did_you_mean(word, _WORDS))
        return
    works = _WORDS[word] if word else False
    for day in _dates(found, place, problems):
        if days.setdefault(day, works) != works:
            problems.add(place, f"{day} is a holiday and a working day", "remove one of them")


def _dates(found: re.Match[str], place: Place, problems: Problems) -> Iterator[date]:
    try:
        first, last = (date.fromisoformat(text) for text in (found[1], found[2] or found[1]))
    except ValueError:
        problems.add(place, f"{show(found[0])} is no date", DATES)
        return
    length = (last - first).days + 1
    if not 1 <= length <= LONGEST_RANGE:
        fault = "ends before it begins" if length < 1 else "is longer than a year"
        problems.add(place, f"{show(found[0])} {fault}", "correct one of its dates")
        return
    yield from (first + timedelta(days=offset) for offset in range(length))
