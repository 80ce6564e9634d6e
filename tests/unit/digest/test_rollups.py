"""Sums of days: reproducible from their parts, whatever the parts; days as the plant's calendar has them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.buffer.records import RollupRecord
from agent.digest.equipment.kpi import kpis
from agent.digest.equipment.sums import MachineSums
from agent.digest.equipment.times import Carry
from agent.digest.rollups import (
    DAY,
    DeviceSums,
    Kept,
    Sums,
    add,
    day_of,
    days_before,
    days_of,
    kept_of,
    records,
    total,
    with_period,
)
from tests.support.digest_plants import SECOND

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
MIDNIGHT = 1_795_363_200 * SECOND
"""2026-11-23 00:00 in Shanghai."""
HOUR = 3600 * SECOND

counts = st.integers(0, 10**6)
eighths = st.integers(0, 10**6).map(lambda value: value / 8)  # sums of these are exact
machines = st.builds(
    MachineSums,
    span_us=counts,
    calendar=st.booleans(),
    planned_us=counts,
    apt_us=counts,
    adet_us=counts,
    failures=counts,
    repair_us=counts,
    produced=st.none() | eighths,
    good=st.none() | eighths,
    flags=st.dictionaries(st.sampled_from(["resets", "stuck"]), st.integers(1, 9)),
    kwh=eighths,
    peak_kw=st.none() | eighths,
    minutes=st.dictionaries(st.integers(0, 20), st.integers(1, 60)).map(lambda bins: tuple(sorted(bins.items()))),
)
devices = st.builds(DeviceSums, expected=counts, good=counts, timeouts=counts, disconnects=counts)


@st.composite
def periods(draw: st.DrawFn) -> list[Sums]:
    count = draw(st.integers(1, 6))
    return [
        Sums(
            start=MIDNIGHT + number * HOUR,
            end=MIDNIGHT + (number + 1) * HOUR,
            covered_us=HOUR,
            machines=draw(st.dictionaries(st.sampled_from("abc"), machines)),
            devices=draw(st.dictionaries(st.sampled_from("xy"), devices)),
            restarts=draw(counts),
            downtime_s=draw(eighths),
        )
        for number in range(count)
    ]


@given(periods(), st.integers(0, 6))
def test_sums_do_not_depend_on_how_the_parts_are_grouped(parts: list[Sums], cut: int) -> None:
    whole = total(parts)
    assert whole is not None
    halves = [each for each in (total(parts[:cut]), total(parts[cut:])) if each is not None]
    assert total(halves) == whole
    assert whole.covered_us == len(parts) * HOUR == whole.end - whole.start
    for name, machine in whole.machines.items():
        mine = [each.machines[name] for each in parts if name in each.machines]
        assert machine.apt_us == sum(each.apt_us for each in mine)
        counted = [each.good for each in mine if each.good is not None]
        assert machine.good == (sum(counted) if counted else None)
        assert machine.peak_kw == max((each.peak_kw for each in mine if each.peak_kw is not None), default=None)
        assert dict(machine.minutes) == _merged(each.minutes for each in mine)


def _merged(parts: Any) -> dict[int, int]:
    result: dict[int, int] = {}
    for part in parts:
        for number, count in part:
            result[number] = result.get(number, 0) + count
    return result


@given(periods())
def test_a_day_is_the_sum_of_its_periods_as_the_store_keeps_them(parts: list[Sums]) -> None:
    day: Sums | None = None
    stored: list[RollupRecord] = []
    for part in parts:
        day = with_period(day, part)
        stored = records(Kept(sums=part, carries={"a": Carry(stop_since=7)}), day, SHANGHAI)
        assert with_period(day, part) == day, "a period that is in it is not added again"
    assert [each.kind for each in stored] == ["period", "day"]
    assert kept_of(stored[0]) == Kept(sums=parts[-1], carries={"a": Carry(stop_since=7)})
    assert (stored[1].start, stored[1].end) == (MIDNIGHT, parts[-1].end)
    assert days_of([stored[1]]) == [total(parts)]


def test_ratios_come_from_sums_and_are_never_averaged() -> None:
    one = Sums(start=0, end=1, covered_us=1, machines={"a": _planned(apt=100, planned=100)})
    two = Sums(start=1, end=2, covered_us=1, machines={"a": _planned(apt=0, planned=900)})
    availability = kpis(add(one, two).machines["a"])[0]
    assert availability.value == 0.1


def _planned(apt: int, planned: int) -> MachineSums:
    return MachineSums(calendar=True, apt_us=apt, planned_us=planned)


@pytest.mark.parametrize(
    ("at", "hours"), [("2026-03-29T12:00", 23), ("2026-10-25T12:00", 25), ("2026-11-23T00:00", 24)]
)
def test_days_are_those_of_the_plant(at: str, hours: int) -> None:
    moment = round(datetime.fromisoformat(at).replace(tzinfo=BERLIN).timestamp()) * SECOND
    day = day_of(moment, BERLIN)
    assert day.length == hours * HOUR and day.start <= moment < day.end
    assert day_of(day.end, BERLIN).start == day.end and day_of(day.end - 1, BERLIN) == day
    assert days_before(moment, BERLIN, 1) == day.start
    assert days_before(moment, BERLIN, 2) == day_of(day.start - 1, BERLIN).start


def test_a_window_of_28_days_ends_with_the_day_it_was_asked_for() -> None:
    assert days_before(MIDNIGHT + HOUR, SHANGHAI, 28) == MIDNIGHT - 27 * 24 * HOUR


def test_what_cannot_be_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    whole = Sums(start=0, end=1, covered_us=1)
    broken = RollupRecord(DAY, 5, 6, b'{"start": "x"')
    assert days_of([broken, RollupRecord(DAY, 0, 1, msgspec.json.encode(whole))]) == [whole]
    assert kept_of(broken) is None and kept_of(None) is None
    assert "cannot be read" in caplog.text
