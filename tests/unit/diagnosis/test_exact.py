"""States to the moment and single stops, from readings that are still kept and say what the digests said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.buffer.store import Store
from agent.config.model import CalendarSection, Configuration, EquipmentSection, StateSection
from agent.diagnosis.exact import Detail, stretches
from agent.diagnosis.gather import gather
from agent.diagnosis.model import Report
from agent.digest.equipment.states import EXECUTING, FAULT, STANDBY
from agent.digest.service import DigestService
from agent.digest.spec import group_interval
from agent.digest.windows import DAY, Period
from tests.support.diagnosis_plants import HOUR, MINUTE, Plant, at, plant
from tests.support.digest_plants import SECOND, batch, configuration, device, tag
from tests.support.digest_service import SetClock, Unsigned

BEGIN = at("2026-11-23T23:50")
DAYS: Any = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WORDS = {"1": "standby", "2": "executing", "3": "fault"}


def press(words: dict[str, str] = WORDS) -> EquipmentSection:
    return EquipmentSection(
        name="press",
        state=StateSection(tag="p.state", map=words),
        calendar=CalendarSection(days=DAYS, shifts=("00:00-12:00", "12:00-24:00")),
    )


def configured(section: EquipmentSection) -> Configuration:
    return configuration([device("p", [tag("p.state", kind="state")])], period=300.0, equipment=[section])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Twenty minutes over midnight: a short wait, then a failure of eleven minutes."""
    opened = await Store.open(tmp_path / "buffer.db")
    states = [(0, 2), (60, 1), (130, 2), (300, 3), (960, 2)]  # (second, state)
    (series,) = await opened.series_ids(["p.state"])
    group = await opened.group_id("p", group_interval(1.0))
    # Changes as they come, and each half minute in full, as the recorder writes them.
    times = sorted({*range(0, 1200, 30), *(second for second, _ in states)})
    values = [float([state for since, state in states if since <= moment][-1]) for moment in times]
    samples = [(int(series), BEGIN + moment * SECOND, value, 0) for moment, value in zip(times, values, strict=True)]
    await opened.append(batch(samples, [(group, BEGIN + second * SECOND, 0) for second in range(1200)]))
    service = DigestService(opened, configured(press()), SetClock(BEGIN + 20 * MINUTE + 10 * SECOND), Unsigned())
    assert await service.build_due() == 4
    yield opened
    await opened.close()


async def reported(store: Store, section: EquipmentSection, span: Period) -> Report:
    return await gather(store, configured(section), span, made=0)


async def test_segments_and_stops_are_those_of_the_machine(store: Store) -> None:
    report = await reported(store, press(), Period(BEGIN, BEGIN + 20 * MINUTE))
    segments = report.detail.segments["press"]
    assert [
        ((start - BEGIN) // SECOND, (end - BEGIN) // SECOND, int(value))
        for start, end, value in zip(segments.start, segments.end, segments.value, strict=True)
    ] == [
        (0, 60, EXECUTING), (60, 130, STANDBY), (130, 300, EXECUTING), (300, 960, FAULT), (960, 1200, EXECUTING),
    ]  # fmt: skip
    fault, wait = report.detail.stops
    assert (fault.length_us, fault.start, fault.end, fault.faulty) == (
        11 * MINUTE, BEGIN + 5 * MINUTE, BEGIN + 16 * MINUTE, True)  # fmt: skip
    assert (wait.length_us, wait.start, wait.faulty) == (70 * SECOND, BEGIN + MINUTE, False)
    (machine,) = report.machines
    assert machine.sums.stops == 2 and machine.sums.stop_us == fault.length_us + wait.length_us


async def test_a_failure_from_before_the_span_is_known_from_whmomentwas_open(store: Store) -> None:
    report = await reported(store, press(), Period(BEGIN + 10 * MINUTE, BEGIN + 20 * MINUTE))
    (fault,) = report.detail.stops
    assert (fault.start, fault.length_us) == (BEGIN + 5 * MINUTE, 11 * MINUTE)
    assert report.machines[0].lost_us["fault"] == 6 * MINUTE


async def test_readings_thmomentmean_something_else_by_now_are_left_to_the_digests(store: Store) -> None:
    report = await reported(store, press({"1": "setup", "2": "executing", "3": "fault"}),
                            Period(BEGIN, BEGIN + 20 * MINUTE))  # fmt: skip
    assert report.detail.segments == {} and report.detail.stops == ()
    assert report.machines[0].sums.states["standby"] == 70 * SECOND


async def test_readings_thmomentare_gone_are_no_gap(store: Store) -> None:
    store.retention_us = HOUR
    await store.enforce(BEGIN + 3 * HOUR)
    report = await reported(store, press(), Period(BEGIN, BEGIN + 20 * MINUTE))
    assert report.detail == Detail()
    assert report.machines[0].sums.states["unknown"] == 0


async def test_a_long_span_is_not_read_back(tmp_path: Path) -> None:
    opened = await Store.open(tmp_path / "long.db")
    made = plant(["press"])
    monday = at("2026-11-16")
    await Plant(opened, made).run(monday, monday + 9 * DAY, length=HOUR)
    report = await gather(opened, made, Period(monday, monday + 9 * DAY), made=0)
    assert report.detail == Detail()
    assert [(first, last) for first, last in stretches(report.cells)][:2] == [(0, 5), (6, 11)]
    await opened.close()
