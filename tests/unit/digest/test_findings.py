"""Rules over windows: limits, doubt, evidence; and the tables that they and the indicators are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.digest_tables import Limit
from agent.config.model import EnterpriseSection, Inventory
from agent.digest.equipment.spec import MachineSpec
from agent.digest.equipment.sums import MachineSums
from agent.digest.findings import CLOCK_UNTRUSTED, Gateway, findings, texts, windows
from agent.digest.indicators import figures, indicators
from agent.digest.measures import OF_DEVICES, OF_MACHINES
from agent.digest.report import FindingLine
from agent.digest.rollups import DeviceSums, Sums, days_before, total
from agent.digest.spec import DeviceSpec, DigestSpec
from agent.digest.tables import own_findings, own_indicators
from agent.disclosure.sharing import Policy
from tests.support.digest_plants import SECOND, START

ZONE = ZoneInfo("Asia/Shanghai")
HOUR = 3600 * SECOND
DAY = 24 * HOUR
TODAY = days_before(START, ZONE, 1)
GOOD_CLOCK = Gateway(connected=None, declared=None, clock_offset_s=0.0, clock_trusted=True)
PRESS = MachineSpec(name="press", key_process=True, devices=frozenset({"p"}))


def spec(*machines: MachineSpec, driver: str = "modbus") -> DigestSpec:
    nothing = np.empty(0, np.int32)
    return DigestSpec(
        devices=(DeviceSpec(name="p", interval_us=SECOND, points=1, driver=driver),),
        groups=(),
        series=nothing,
        group=nothing,
        shared=(),
        policy=Policy(share=frozenset(), enterprise_authorised=False),
        machines=machines,
    )


def day(number: int = 0, device: DeviceSums | None = None, **machine: Any) -> Sums:
    """The day ``number`` days ago: planned for 16 hours, all of it known, but for what ``machine`` says."""
    whole = {"span_us": DAY, "states": {"executing": DAY}, "calendar": True, "planned_us": 16 * HOUR, **machine}
    start = TODAY - number * DAY
    return Sums(
        start=start,
        end=start + DAY,
        covered_us=DAY,
        machines={"press": MachineSums(**whole)} if machine else {},
        devices={"p": device or DeviceSums(expected=100, good=100)},
    )


def judged(
    today: Sums, *before: Sums, gateway: Gateway = GOOD_CLOCK, machine: MachineSpec = PRESS
) -> dict[str, FindingLine]:
    lines, _ = findings(spec(machine), windows(before, today, ZONE), gateway)
    return {line.rule: line for line in lines}


@pytest.mark.parametrize(("good", "level"), [(79, "void"), (80, "warn"), (94, "warn"), (95, None)])
def test_an_evidence_gap_warns_or_voids(good: int, level: str | None) -> None:
    line = judged(day(device=DeviceSums(expected=100, good=good))).get("evidence_gap")
    assert (line.level if line else None) == level
    assert line is None or (line.name, line.value, line.evidence["expected"]) == ("p", good / 100, 100.0)


@pytest.mark.parametrize(
    ("device", "measure"),
    [
        (DeviceSums(expected=1000, good=1000, disconnects=4), "disconnects"),
        (DeviceSums(expected=1000, good=989, bad=11, timeouts=11), "timeout_share"),
        (DeviceSums(expected=1000, good=990, bad=10, timeouts=10, disconnects=3), None),
    ],
)
def test_an_unstable_link(device: DeviceSums, measure: str | None) -> None:
    line = judged(day(device=device)).get("unstable_link")
    assert (line.measure if line else None) == measure


@pytest.mark.parametrize(
    ("offset", "level"), [(0.5, None), (1.0, None), (1.5, "warn"), (-1.5, "warn"), (60.0, "warn"), (-61.0, "void")]
)
def test_clock_quality(offset: float, level: str | None) -> None:
    line = judged(day(), gateway=replace(GOOD_CLOCK, clock_offset_s=offset)).get("clock_quality")
    assert (line.level if line else None) == level


def test_a_clock_that_nobody_trusts_is_no_evidence_of_a_good_one() -> None:
    line = judged(day(), gateway=replace(GOOD_CLOCK, clock_trusted=False))["clock_quality"]
    assert (line.status, line.reason) == ("insufficient", CLOCK_UNTRUSTED)
    wrong = judged(day(), gateway=replace(GOOD_CLOCK, clock_trusted=False, clock_offset_s=90.0))["clock_quality"]
    assert (wrong.status, wrong.level) == ("found", "void")


@pytest.mark.parametrize(("connected", "found"), [(13.0, True), (14.4, False), (24.0, False)])
def test_unmonitored_equipment(connected: float, found: bool) -> None:
    lines = judged(day(), gateway=replace(GOOD_CLOCK, connected=connected, declared=24.0))
    assert ("unmonitored_equipment" in lines) is found


def test_failures_are_counted_over_28_days_of_sums() -> None:
    # Five failures, one in each of five days, 7 h of work before each, repaired in 61 minutes.
    failing = {"failures": 1, "between_us": 7 * HOUR, "repair_us": 61 * 60 * SECOND, "apt_us": 7 * HOUR}
    days = [day(number, **failing) for number in (27, 20, 13, 6)]
    lines = judged(day(0, **failing), *days)
    assert (lines["short_mtbf"].value, lines["short_mtbf"].threshold) == (7.0, 8.0)
    assert (lines["long_repair"].value, lines["long_repair"].evidence["failures"]) == (61.0, 5.0)
    # The fifth is one day too old: four failures say nothing.
    early = [day(28, **failing), *days[1:]]
    assert not {"short_mtbf", "long_repair"} & judged(day(0, **failing), *early).keys()


def test_availability_needs_three_shifts_planned() -> None:
    poor = {"apt_us": 9 * HOUR}  # of 16 planned: 0.5625
    assert "low_availability" not in judged(day(0, **poor))
    line = judged(day(0, **poor), day(1, **poor))["low_availability"]
    assert (line.value, line.evidence["planned_h"]) == (0.5625, 32.0)


def test_ratios_of_days_are_made_from_their_sums() -> None:
    # 1 of 16 hours on one day, 16 of 16 on three: 49 / 64 = 0.766; the mean of ratios would be 0.77.
    days = [day(number, apt_us=16 * HOUR) for number in (3, 2, 1)]
    lines, assessed = findings(spec(PRESS), windows(days, day(0, apt_us=HOUR), ZONE), GOOD_CLOCK)
    assert assessed["low_availability"] == 1 and "low_availability" not in {line.rule for line in lines}


def test_a_quality_that_falls_by_more_than_three_sigma() -> None:
    # 28 days: 20 000 pieces, 19 600 good: 0.98. The last 7 days: 5000 pieces.
    # sigma = sqrt(0.98 × 0.02 / 5000) = 0.00197990: 3 sigma are 0.00594, so 4870 good (0.974) is a finding.
    def of(good_week: float) -> dict[str, FindingLine]:
        old = day(20, produced=15_000.0, good=19_600.0 - good_week)
        return judged(day(0, produced=5_000.0, good=good_week), old)

    line = of(4870.0)["quality_trend"]
    assert line.value == pytest.approx(0.006 / (0.98 * 0.02 / 5000) ** 0.5) and line.value > 3
    assert "quality_trend" not in of(4871.0)


def test_a_trend_of_few_pieces_is_none() -> None:
    assert "quality_trend" not in judged(
        day(0, produced=499.0, good=100.0), day(20, produced=15_000.0, good=15_000.0 - 10)
    )


def test_demand_beyond_the_contract() -> None:
    power = {"energy_basis": "power", "energy_known_us": DAY, "metered_kwh": 24 * 80.0, "demand_kw": 91.0}
    line = judged(day(0, **power), machine=replace(PRESS, contract_kw=100.0))["demand_peak"]
    assert (line.measure, line.value, line.level) == ("contract_share", 0.91, "warn")
    assert "demand_peak" not in judged(day(0, **power), machine=replace(PRESS, contract_kw=110.0))


def test_a_cycle_that_cannot_be_right_is_a_finding_on_the_data() -> None:
    line = judged(day(0, produced=10.0, apt_us=10 * HOUR, ideal_us=10.6 * HOUR))["speed_loss"]
    assert (line.level, line.value, line.side) == ("data", 1.06, "above")
    assert isinstance(line.action, msgspec.Struct) and "ideal cycle" in line.action.en


def test_words_are_said_once_for_each_rule_that_found_something() -> None:
    # Two machines stop too often; the link is fine; the trend of too few pieces is not judged.
    poor = {"adet_us": HOUR, "micro_us": HOUR}
    today = day(0, **poor)
    both = msgspec.structs.replace(today, machines=dict.fromkeys(("press", "two"), today.machines["press"]))
    plant = spec(PRESS, replace(PRESS, name="two"))
    lines, _ = findings(plant, windows([], both, ZONE), GOOD_CLOCK)
    assert [line.rule for line in lines] == ["micro_stops", "micro_stops"]
    words = texts(lines, plant.findings)
    assert words.keys() == {"micro_stops"} and words["micro_stops"].title.en == "Micro-stops"
    doubtful = msgspec.structs.replace(lines[0], status="insufficient")
    assert texts([doubtful], plant.findings) == {}


def test_below_80_percent_a_rule_says_that_it_cannot_tell() -> None:
    unknown = {"unknown_us": round(3.3 * HOUR), "adet_us": HOUR, "micro_us": HOUR}  # 79.4 % of 16 h are known
    line = judged(day(0, **unknown))["micro_stops"]
    assert (line.status, line.reason) == ("insufficient", "79.4 % of the time is known, 80 % are needed")
    assert line.evidence == {} and isinstance(line.value, msgspec.UnsetType)
    known = judged(day(0, **{**unknown, "unknown_us": 3 * HOUR}))["micro_stops"]
    assert (known.status, known.value, known.coverage) == ("found", 1.0, 0.8125)


def test_counter_anomalies_are_told_at_any_coverage() -> None:
    line = judged(day(0, produced=1.0, unknown_us=16 * HOUR, flags={"resets": 2, "decrements": 5}))["counter_anomaly"]
    assert (line.status, line.value) == ("found", 2.0)


@pytest.mark.parametrize(
    ("main", "subs", "complete", "measure"),
    [
        (100.0, 105.0, False, None),
        (100.0, 105.1, False, "excess_share"),
        (100.0, 10.0, False, None),
        (100.0, 95.0, True, None),
        (100.0, 94.9, True, "missing_share"),
        (100.0, 105.1, True, "excess_share"),
        (0.0, 10.0, False, "excess_share"),  # a main meter that stands still
        (4.0, 4.9, False, None),  # too little to tell
    ],
)
def test_sub_meters_against_their_main_meter(main: float, subs: float, complete: bool, measure: str | None) -> None:
    today = day(0, compared_us=4 * HOUR, compared_kwh=main, sub_kwh=subs)
    line = judged(today, machine=replace(PRESS, sub_meters_complete=complete)).get("sub_meters")
    assert (line.measure if line else None) == measure
    assert line is None or (line.status, line.level, line.evidence["sub_kwh"]) == ("found", "data", subs)
    short = day(0, compared_us=4 * HOUR - 1, compared_kwh=main, sub_kwh=subs)
    assert "sub_meters" not in judged(short)


def test_a_machine_that_must_not_be_told_of_is_in_no_rule_and_no_indicator() -> None:
    secret = replace(PRESS, refusal="sensitivity 3 never leaves the plant")
    today = day(0, produced=1.0, good=1.0, flags={"resets": 2}, apt_us=HOUR, adet_us=HOUR, micro_us=HOUR)
    lines, assessed = findings(spec(secret), windows([], today, ZONE), GOOD_CLOCK)
    assert not [line for line in lines if line.scope == "machine"] and "counter_anomaly" not in assessed
    rows = {row.code: row for row in indicators(spec(secret), EnterpriseSection(), today)}
    assert rows["ISO22400.QUALITY_RATIO"].value is None and rows["MIIT24.DATA_LINKS"].numerator == 0.0


@given(st.lists(st.integers(0, 16), min_size=1, max_size=28), st.integers(0, 27))
def test_windows_are_the_same_from_days_as_from_their_parts(hours: list[int], cut: int) -> None:
    days = [day(len(hours) - number, apt_us=each * HOUR) for number, each in enumerate(hours)]
    today = day(0, apt_us=5 * HOUR)
    found = windows(days, today, ZONE)
    for name, count in (("day", 1), ("week", 7), ("month", 28)):
        since = TODAY - (count - 1) * DAY
        assert found[name] == total([*(each for each in days if each.start >= since), today])
        assert found[name].machines["press"].apt_us == (sum(hours[::-1][: count - 1]) + 5) * HOUR
    # Days that were added up before they are stored say the same as their parts.
    halves = [each for each in (total(days[:cut]), total(days[cut:]), today) if each is not None]
    assert total(halves) == total([*days, today])


def test_every_rule_has_what_it_needs() -> None:
    table = own_findings()
    assert {rule.number for rule in table.rules} == {*range(1, 17)}
    assert len({rule.id for rule in table.rules}) == len(table.rules)
    scopes = {"device": OF_DEVICES.keys(), "machine": OF_MACHINES.keys()}
    for scope, known in scopes.items():
        assert {rule.id for rule in table.rules if rule.scope == scope} == known
    for rule in table.rules:
        assert rule.title.en and rule.title.zh and rule.action.en and rule.action.zh
        assert all((limit.above is None) != (limit.below is None) for limit in rule.limits)
        assert bool(rule.coverage) is (rule.number not in (1, 2, 3, 4, 15))


def test_every_indicator_is_made_of_something_known() -> None:
    table = own_indicators()
    known = figures(spec(PRESS), EnterpriseSection(), day(0, apt_us=1))
    for row in table.rows:
        assert row.kpi or row.baseline or {row.numerator, row.denominator} <= known.keys()
    assert len({row.code for row in table.rows}) == len(table.rows)


def test_a_table_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="treshold"):
        msgspec.json.decode(b'{"measure": "x", "level": "warn", "treshold": 1}', type=Limit)


def test_key_machines_count_by_protocol_and_delivery() -> None:
    today = day(0, apt_us=1)
    enterprise = EnterpriseSection(inventory=Inventory(production_equipment=2, digital=0))
    rows = {row.code: row for row in indicators(spec(PRESS), enterprise, today)}
    assert rows["CMMM.EQUIPMENT_L2"].value == 1.0
    assert (rows["MIIT24.NET_RATE"].value, rows["MIIT24.NET_RATE"].bin) == (0.5, "(40,60]")
    assert rows["GBT23020.NET_RATE"].value is None and rows["GBT23020.NET_RATE"].reason == "the denominator is 0"
    silent = msgspec.structs.replace(today, devices={"p": DeviceSums(expected=9)})
    rows = {row.code: row for row in indicators(spec(PRESS), enterprise, silent)}
    assert rows["CMMM.EQUIPMENT_L2"].value == 0.0 == rows["MIIT24.NET_RATE"].value


def test_a_rate_above_one_is_shown_and_doubted() -> None:
    enterprise = EnterpriseSection(inventory=Inventory(production_equipment=1, digital=1))
    two = replace(PRESS, name="two")
    rows = {row.code: row for row in indicators(spec(PRESS, two), enterprise, day(0, apt_us=1))}
    assert rows["MIIT24.NET_RATE"].value == 2.0
    assert rows["MIIT24.NET_RATE"].reason == "above 1: correct [enterprise] inventory"


def test_indicators_of_machines_take_only_those_that_have_what_is_needed() -> None:
    counted = MachineSums(calendar=True, span_us=DAY, produced=100.0, good=90.0, kwh=45.0, energy_basis="power")
    uncounted = MachineSums(calendar=True, span_us=DAY, kwh=1000.0, energy_basis="power")
    today = msgspec.structs.replace(day(), machines={"press": counted, "two": uncounted})
    rows = {row.code: row for row in indicators(spec(PRESS, replace(PRESS, name="two")), EnterpriseSection(), today)}
    assert (rows["ENPI.SEC"].value, rows["ENPI.SEC"].unit) == (0.5, "kWh")
    assert rows["ISO22400.QUALITY_RATIO"].value == 0.9


@pytest.mark.parametrize(
    ("counter", "power", "tick", "hours", "expected"),
    [
        (145.0, 14.3, 1.0, 2, "found"),
        (14.3, 145.0, 1.0, 2, "found"),
        (10.0, 10.9, 0.1, 2, None),
        (10.0, 12.0, 2.0, 2, None),  # a coarse counter
        (145.0, 14.3, 1.0, 0.9, None),  # less than an hour
    ],
)
def test_n17_an_energy_counter_is_held_against_the_power_of_its_machine(
    counter: float, power: float, tick: float, hours: float, expected: str | None
) -> None:
    both = {"both_us": round(hours * HOUR), "both_counter_kwh": counter, "both_power_kwh": power, "tick_kwh": tick}
    told = judged(day(0, energy_known_us=24 * HOUR, **both))
    line = told.get("energy_against_power")
    assert (line.status if line else None) == expected
