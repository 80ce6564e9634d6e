"""From a store to the report: days and periods, what is gone, what is withheld."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from agent.buffer.records import Loss
from agent.buffer.store import Store
from agent.diagnosis.cells import merged, plant_days, step_for
from agent.diagnosis.gather import gather
from agent.diagnosis.losses import Waterfall
from agent.digest.equipment.states import STATES
from agent.digest.equipment.sums import MachineSums
from agent.digest.equipment.times import Carry
from agent.digest.windows import DAY, Period
from agent.errors import GongfuError
from tests.support.diagnosis_plants import HOUR, MINUTE, QUARTER, ZONE, Plant, at, plant, quarter

MONDAY = at("2026-11-16")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "buffer.db")
    yield opened
    await opened.close()


async def test_a_span_of_days_is_the_sum_of_its_periods(store: Store) -> None:
    made = plant(["press", "lathe"])
    await Plant(store, made).run(at("2026-11-15"), MONDAY + 3 * DAY)
    report = await gather(store, made, Period(MONDAY, MONDAY + 2 * DAY), made=0, fingerprint="thumb")
    press, lathe = report.machines
    # Two days of 16 h in two shifts; the press (number 0) executes 80 % of it, the lathe 75 %.
    assert press.sums.planned_us == 32 * HOUR and press.sums.apt_us == 0.8 * 32 * HOUR
    assert lathe.sums.apt_us == 0.75 * 32 * HOUR
    assert press.line.kpis["ISO22400.AVAILABILITY"].value == 0.8  # type: ignore[index]
    assert isinstance(press.waterfall, Waterfall) and press.waterfall.planned_us == 32 * HOUR
    assert sum(each.lost_us for each in report.pareto) == sum(
        each.sums.adet_us + each.sums.aust_us + each.sums.adot_us for each in report.machines
    )
    assert len(report.cells) == 2 * 96
    assert report.cells.machines["press"].states.sum() == 48 * HOUR
    assert report.cells.machines["press"].states[:, STATES.index("executing")].sum() == press.sums.apt_us
    assert report.recorded == report.span
    assert (report.proof.count, report.proof.first_seq, report.proof.last_seq) == (192, 97, 288)
    assert report.proof.head_hash == f"{288:064x}" and report.proof.states["accepted"] == 192
    assert (report.source.gateway, report.source.version, report.source.fingerprint) == ("gw-test", "0.1.0", "thumb")


async def test_of_periods_that_are_gone_the_days_are_left(store: Store) -> None:
    made = plant(["press"])
    await Plant(store, made).run(MONDAY, MONDAY + 5 * DAY)
    span = Period(MONDAY, MONDAY + 2 * DAY)
    whole = await gather(store, made, span, made=0)
    await store._expire_rollups(MONDAY + DAY + 12 * HOUR, 0)
    report = await gather(store, made, span, made=0)
    assert report.machines[0].sums == whole.machines[0].sums
    assert report.cells.start.tolist() == [MONDAY, MONDAY + DAY]
    assert report.cells.machines["press"].kwh.sum() == pytest.approx(whole.cells.machines["press"].kwh.sum())


async def test_a_main_meter_is_no_machine_and_its_energy_is_not_counted_twice(store: Store) -> None:
    made = plant(["press", "lathe", "main"])
    sections = list(made.file.equipment)
    sections[2] = msgspec.structs.replace(sections[2], metering_only=True, sub_meters=("press", "lathe"))
    made = replace(made, file=msgspec.structs.replace(made.file, equipment=tuple(sections)))
    await Plant(store, made).run(MONDAY, MONDAY + DAY)
    report = await gather(store, made, Period(MONDAY, MONDAY + DAY), made=0)
    assert [each.name for each in report.working] == [each.name for each in report.idlers] == ["press", "lathe"]
    assert [each.name for each in report.feeds] == ["main"]
    assert {each.machine for each in report.pareto} == {"press", "lathe"}


async def test_part_of_a_day_is_made_of_its_periods(store: Store) -> None:
    made = plant(["press"])
    await Plant(store, made).run(MONDAY, MONDAY + DAY)
    span = Period(MONDAY + 8 * HOUR + 7 * MINUTE, MONDAY + 10 * HOUR)
    report = await gather(store, made, span, made=0)
    assert report.recorded == Period(MONDAY + 8 * HOUR + QUARTER, MONDAY + 10 * HOUR)
    assert report.machines[0].sums.apt_us == 4 * 7 * QUARTER // 5


async def test_what_must_not_leave_the_plant_is_nowhere_in_it(store: Store) -> None:
    made = plant(["press", "secret"], secret=["secret"])
    await Plant(store, made).run(MONDAY, MONDAY + 4 * HOUR)
    report = await gather(store, made, Period(MONDAY, MONDAY + DAY), made=0)
    assert [each.name for each in report.machines] == ["press"] == [*report.cells.machines]
    assert report.withheld == {"secret": "sensitivity 3 never leaves the plant"}
    assert not {each.machine for each in report.pareto} & {"secret"}


async def test_one_machine_is_shown_alone_with_the_indicators_of_the_plant(store: Store) -> None:
    made = plant(["press", "lathe"])
    await Plant(store, made).run(MONDAY, MONDAY + DAY)
    both = await gather(store, made, Period(MONDAY, MONDAY + DAY), made=0)
    one = await gather(store, made, Period(MONDAY, MONDAY + DAY), made=0, machine="lathe")
    assert [each.name for each in one.machines] == ["lathe"]
    assert one.summary.indicators == both.summary.indicators
    assert {each.name for each in one.summary.findings if each.scope == "machine"} <= {"lathe"}
    with pytest.raises(GongfuError, match="'mill'") as error:
        await gather(store, made, Period(MONDAY, MONDAY + DAY), made=0, machine="mill")
    assert "press, lathe" in error.value.remedy


async def test_a_span_without_digests_is_an_error_that_says_so(store: Store) -> None:
    with pytest.raises(GongfuError, match="2026-11-15T16:00:00Z"):
        await gather(store, plant(["press"]), Period(MONDAY, MONDAY + DAY), made=0)


async def test_without_a_calendar_there_is_no_waterfall_but_a_reason(store: Store) -> None:
    made = plant(["press"], calendar=None)
    await Plant(store, made).run(MONDAY, MONDAY + DAY)
    report = await gather(store, made, Period(MONDAY, MONDAY + DAY), made=0)
    assert report.machines[0].waterfall == "no calendar: planned busy time is not known"
    assert report.pareto == ()


async def test_a_failure_over_the_borders_of_the_span_is_counted_within(store: Store) -> None:
    made, quarters = plant(["press"]), Plant(store, plant(["press"]))
    base = changed(adet_us=QUARTER, repair_us=0, failures=0)
    await quarters.add(Period(MONDAY, MONDAY + QUARTER), base, carries={"press": Carry(fault_us=10 * MINUTE)})
    ends = changed(adet_us=QUARTER, repair_us=15 * MINUTE, failures=1)  # five minutes of it are in this one
    await quarters.add(
        Period(MONDAY + QUARTER, MONDAY + 2 * QUARTER), ends, carries={"press": Carry(fault_us=3 * MINUTE)}
    )
    report = await gather(store, made, Period(MONDAY + QUARTER, MONDAY + 2 * QUARTER), made=0)
    assert report.machines[0].lost_us["fault"] == 8 * MINUTE


def changed(**changes: int) -> dict[str, MachineSums]:
    return {"press": msgspec.structs.replace(quarter(0, 9, 0), **changes)}


async def test_losses_are_told_by_cause_and_device(store: Store) -> None:
    made = plant(["press"])
    await Plant(store, made).run(MONDAY, MONDAY + DAY)
    await store.add_losses([Loss(MONDAY + n * HOUR, MONDAY + n * HOUR + MINUTE, "overflow", "press", count=5)
                            for n in range(3)])  # fmt: skip
    report = await gather(store, made, Period(MONDAY, MONDAY + DAY), made=0)
    (line,) = report.losses
    assert (line.cause, line.device, line.count, line.entries) == ("overflow", "press", 15, 3)


def test_days_of_a_zone_that_changes_its_clocks() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    days = list(plant_days(Period(at("2026-10-24", berlin), at("2026-10-27", berlin)), berlin))
    assert [each.length // HOUR for each in days] == [24, 25, 24]
    assert [*plant_days(Period(MONDAY + HOUR, MONDAY + 2 * HOUR), ZONE)] == [Period(MONDAY, MONDAY + DAY)]


async def test_a_day_of_25_hours_has_25_cells(store: Store) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    made = plant(["press"], timezone="Europe/Berlin")
    start, end = at("2026-10-25", berlin), at("2026-10-26", berlin)
    await Plant(store, made).run(start, end)
    report = await gather(store, made, Period(start, end), made=0)
    hourly = merged(report.cells, HOUR, berlin)
    assert len(report.cells) == 100 and len(hourly) == 25
    assert np.array_equal(hourly.end - hourly.start, np.full(25, HOUR))
    assert hourly.machines["press"].states.sum() == report.cells.machines["press"].states.sum() == 25 * HOUR


def test_the_width_of_cells_follows_the_span() -> None:
    assert step_for(HOUR) == MINUTE
    assert step_for(7 * DAY) == QUARTER
    assert step_for(31 * DAY) == HOUR
    assert step_for(366 * DAY) == DAY
