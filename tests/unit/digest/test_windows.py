"""Periods are aligned, follow each other without a gap, and survive a change of length."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.digest.windows import DAY, MOST_MISSING, SECOND, Windows, iso

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
NOON = 1_790_050_000 * SECOND


def test_quarters_of_an_hour_are_aligned_to_utc() -> None:
    windows = Windows(900 * SECOND, SHANGHAI)
    start = windows.start_of(NOON)
    assert start <= NOON < windows.end_of(NOON)
    assert iso(start).endswith((":00:00Z", ":15:00Z", ":30:00Z", ":45:00Z"))
    assert windows.start_of(start) == start and windows.end_of(start) == start + 900 * SECOND


def test_days_are_aligned_to_midnight_in_the_plants_zone() -> None:
    assert iso(Windows(DAY, SHANGHAI).start_of(NOON)).endswith("T16:00:00Z")


def test_days_follow_the_clock_change() -> None:
    noon = round(datetime(2026, 10, 25, 12, tzinfo=BERLIN).timestamp()) * SECOND
    windows = Windows(DAY, BERLIN)
    assert windows.end_of(noon) - windows.start_of(noon) == 25 * 3600 * SECOND


@pytest.mark.parametrize("length", [5 * SECOND, 900 * SECOND, 7 * 60 * SECOND, DAY, 7 * DAY])
@given(start=st.integers(1_700_000_000 * SECOND, 1_900_000_000 * SECOND), ahead=st.integers(0, 30))
def test_closed_periods_leave_no_gap_and_end_by_now(length: int, start: int, ahead: int) -> None:
    windows = Windows(length, BERLIN)
    now = start + ahead * length
    periods = list(windows.closed(start, now))
    assert len(periods) <= ahead + 1
    edges = [(start, start), *((each.start, each.end) for each in periods)]
    assert all(before[1] == after[0] for before, after in pairwise(edges))
    assert windows.end_of(edges[-1][1]) > now
    assert all(each.end == windows.start_of(each.end) for each in periods)


def test_a_very_long_absence_becomes_one_long_period_and_then_single_ones() -> None:
    windows = Windows(900 * SECOND, SHANGHAI)
    start = windows.start_of(NOON)
    periods = list(windows.closed(start, start + 400 * DAY))
    assert periods[0].start == start and periods[0].length > DAY
    assert {each.length for each in periods[1:]} == {900 * SECOND}
    assert len(periods) == MOST_MISSING + 1
    assert all(before.end == after.start for before, after in pairwise(periods))


def test_weeks_off_are_reported_period_by_period() -> None:
    windows = Windows(900 * SECOND, SHANGHAI)
    start = windows.start_of(NOON)
    assert len(list(windows.closed(start, start + 21 * DAY))) == 21 * 96


def test_iso_has_the_shortest_exact_fraction() -> None:
    assert iso(1_790_000_100 * SECOND) == "2026-09-21T14:15:00Z"
    assert iso(1_790_000_100 * SECOND + 250_000) == "2026-09-21T14:15:00.25Z"


def test_a_period_that_was_begun_with_another_length_keeps_its_end() -> None:
    quarters = Windows(900 * SECOND, SHANGHAI)
    start = quarters.start_of(NOON)
    hours = Windows(3600 * SECOND, SHANGHAI, running_until=quarters.end_of(start))
    periods = list(hours.closed(start, start + 4 * 3600 * SECOND))
    assert periods[0].end == quarters.end_of(start)
    assert all(one.end == two.start for one, two in pairwise(periods))
    assert all(period.end % (3600 * SECOND) == 0 for period in periods[1:])
