"""Holidays and make-up working days, from lists and from a file beside the configuration."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.holidays import read_days
from agent.config.model import CalendarSection, Configuration
from agent.config.overlay import Overlay
from agent.config.parse import check_overlay, load
from agent.config.problems import Problems
from agent.control.content import read_content
from agent.control.reasons import Refusal
from agent.digest.equipment.calendar import Calendar
from agent.errors import ConfigurationInvalid

FILE = """\
# General Office of the State Council: 2026
2026-10-01..2026-10-07 holiday   # National Day
2026-10-10 working

2026-09-25 .. 2026-09-27 休
2026-09-20 班
2027-01-01
"""
HEAD = '[gateway]\nname = "g"\n[[equipment]]\nname = "press"\n'
SHIFTS = 'days = ["mon", "tue", "wed", "thu", "fri"], shifts = ["08:00-16:00"]'


def loaded(folder: Path, calendar: str, days: bytes = FILE.encode()) -> Configuration:
    (folder / "holidays.txt").write_bytes(days)
    (folder / "config.toml").write_text(f"{HEAD}calendar = {{ {SHIFTS}, {calendar} }}\n", encoding="utf-8")
    return load(folder / "config.toml", {})


def calendar_of(configuration: Configuration) -> CalendarSection:
    section = configuration.file.equipment[0].calendar
    assert section is not None
    return section


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_file_of_holidays_and_working_days(tmp_path: Path, encoding: str) -> None:
    section = calendar_of(loaded(tmp_path, 'holidays_file = "holidays.txt"', FILE.encode(encoding)))
    assert section.holidays == (
        *(f"2026-09-{day}" for day in (25, 26, 27)),
        *(f"2026-10-{day:02d}" for day in range(1, 8)),
        "2027-01-01",
    )
    assert section.working_days == ("2026-09-20", "2026-10-10")
    calendar = Calendar(section, ZoneInfo("Asia/Shanghai"))
    assert calendar.works(date(2026, 10, 10)) and not calendar.works(date(2026, 10, 1))
    assert calendar.works(date(2026, 10, 8)) and not calendar.works(date(2026, 10, 11))


def test_the_calendars_own_lists_have_the_last_word(tmp_path: Path) -> None:
    lists = 'holidays_file = "holidays.txt", holidays = ["2026-10-10"], working_days = ["2026-10-01..2026-10-03"]'
    section = calendar_of(loaded(tmp_path, lists))
    assert "2026-10-10" in section.holidays and "2026-10-10" not in section.working_days
    assert section.working_days == ("2026-09-20", "2026-10-01", "2026-10-02", "2026-10-03")
    assert "2026-10-03" not in section.holidays and "2026-10-04" in section.holidays


def test_a_changed_file_is_another_configuration_and_another_name_is_not(tmp_path: Path) -> None:
    of_file = loaded(tmp_path, 'holidays_file = "holidays.txt"', b"2026-10-01..2026-10-02\n")
    assert of_file.hash == loaded(tmp_path, 'holidays = ["2026-10-02", "2026-10-01"]').hash
    assert of_file.hash != loaded(tmp_path, 'holidays_file = "holidays.txt"', b"2026-10-01\n").hash


def test_nothing_from_outside_names_a_file_of_holidays() -> None:
    text = f'[[equipment]]\nname = "press"\ncalendar = {{ {SHIFTS}, holidays_file = "../secret" }}\n'
    with pytest.raises(ConfigurationInvalid, match="holidays_file: names a file of the gateway"):
        check_overlay(Overlay(text, "revision 12"))
    refused = read_content(text, ["equipment"])
    assert isinstance(refused, Refusal) and "holidays_file" in refused.text


@given(st.binary(max_size=200) | st.text("0123456789-. #\nholidaywrkng", max_size=80).map(str.encode))
def test_any_bytes_are_read_or_told_of_with_their_line(data: bytes) -> None:
    problems = Problems()
    days = read_days(data, "holidays.txt", problems)
    assert all(line.startswith("holidays.txt") for line in problems.lines)
    assert len(days) <= 366 * (1 + data.count(b"\n") + len(data))
