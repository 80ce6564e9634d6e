"""Days, weeks and months of the plant from its stored days."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from agent.config.model import EquipmentSection
from agent.digest.equipment.sums import MachineSums
from agent.digest.report import BaselineFit
from agent.digest.rollups import DeviceSums, Sums
from agent.digest.summary import Kind, look_back, span_of, summary
from agent.digest.windows import iso
from agent.errors import GongfuError
from tests.support.digest_plants import SECOND, configuration, device, tag

ZONE = ZoneInfo("Asia/Shanghai")
HOUR = 3600 * SECOND
PLANT = configuration(
    [device("p", [tag("p.state", kind="state"), tag("p.secret", 1, sensitivity=3)])],
    equipment=[EquipmentSection(name="press"), EquipmentSection(name="secret", produced="p.secret")],
)


def day(date: str, **machine: Any) -> Sums:
    start = round(datetime.fromisoformat(date).replace(tzinfo=ZONE).timestamp()) * SECOND
    known = {"span_us": 24 * HOUR, "states": {"executing": 24 * HOUR}, "calendar": True, "planned_us": 16 * HOUR}
    sums = MachineSums(**{**known, **machine})
    devices = {"p": DeviceSums(expected=100, good=90, missing=10, disconnects=2)}
    return Sums(start=start, end=start + 24 * HOUR, covered_us=24 * HOUR, machines={"press": sums, "secret": sums},
                devices=devices, restarts=1, downtime_s=2.5)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "first", "after"),
    [
        ("day", "2026-11-23", "2026-11-22T16:00:00Z", "2026-11-23T16:00:00Z"),
        ("week", "2026-11-25", "2026-11-22T16:00:00Z", "2026-11-29T16:00:00Z"),
        ("month", "2026-11", "2026-10-31T16:00:00Z", "2026-11-30T16:00:00Z"),
        ("month", "2026-02-28", "2026-01-31T16:00:00Z", "2026-02-28T16:00:00Z"),
    ],
)
def test_spans_are_those_of_the_plants_calendar(kind: Kind, text: str, first: str, after: str) -> None:
    span = span_of(kind, text, ZONE)
    assert (iso(span.start), iso(span.end)) == (first, after)


def test_a_date_that_is_none_is_said() -> None:
    with pytest.raises(GongfuError, match="2026-13-01"):
        span_of("day", "2026-13-01", ZONE)


def test_a_week_is_made_from_the_sums_of_its_days() -> None:
    days = [day("2026-11-22", apt_us=0), day("2026-11-23", apt_us=2 * HOUR), day("2026-11-24", apt_us=10 * HOUR)]
    made = summary("week", span_of("week", "2026-11-25", ZONE), days, PLANT)
    assert made is not None
    press, secret = made.equipment
    assert press.kpis["ISO22400.AVAILABILITY"].value == 0.375  # type: ignore[union-attr, index]
    assert secret.withheld == "sensitivity 3 never leaves the plant"
    assert (made.recorded.start, made.recorded_s) == ("2026-11-22T16:00:00Z", 48 * 3600.0)
    assert (made.restarts, made.agent_downtime_s) == (2, 5.0)
    (lines,) = made.devices
    assert (lines.good, lines.expected, lines.disconnects, lines.grade) == (180, 200, 4, "B")
    rows = {row.code: row for row in made.indicators}
    assert rows["ISO22400.AVAILABILITY"].value == 0.375
    # The rule looks back seven days from the last one, beyond the week's Monday: 12 of 48 hours.
    found = {(line.rule, line.name): line for line in made.findings}
    assert found["low_availability", "press"].value == 0.25
    assert found["evidence_gap", "p"].value == 0.9
    assert not {line.rule for line in made.findings} & {"clock_quality"}
    assert {name for rule, name in found} == {"press", "p"}


def test_days_outside_of_the_span_are_not_in_it() -> None:
    days = [day("2026-11-22", apt_us=HOUR), day("2026-11-23", apt_us=2 * HOUR), day("2026-11-24", apt_us=4 * HOUR)]
    made = summary("day", span_of("day", "2026-11-23", ZONE), days, PLANT)
    assert made is not None and made.equipment[0].times.apt_s == 7200.0  # type: ignore[union-attr]
    assert made.span == made.recorded
    span = span_of("day", "2026-11-23", ZONE)
    assert summary("day", span, [days[0], days[2]], PLANT) is None
    assert look_back(span) <= span.start - 28 * 24 * HOUR


def test_a_month_shows_the_energy_baseline_of_its_last_four_weeks() -> None:
    plant = configuration(
        [device("p", [tag("p.total", kind="counter"), tag("p.kwh", 1, kind="counter", unit="kWh")])],
        equipment=[EquipmentSection(name="press", produced="p.total", energy="p.kwh")],
    )

    def worked(number: int, kwh: float) -> Sums:
        made = day(f"2026-10-{number:02d}", produced=100.0 * number, kwh=kwh, energy_basis="counter",
                   energy_known_us=24 * HOUR)  # fmt: skip
        return msgspec.structs.replace(made, devices={"p": DeviceSums(expected=100, good=99)})

    # From the 4th on (28 days up to the 31st) 20 kWh and 3 kWh a hundred pieces; what is before does not fit.
    days = [worked(number, 20 + 3 * number if number >= 4 else 9999) for number in range(1, 32)]
    made = summary("month", span_of("month", "2026-10", ZONE), days, plant)
    assert made is not None
    row = next(each for each in made.indicators if each.code == "ENPI.BASELINE")
    assert (row.machine, row.coverage, row.unit) == ("press", 1.0, "kWh")
    assert row.fit == BaselineFit(b0=20.0, b1=0.03, n=28, r2=1.0)
