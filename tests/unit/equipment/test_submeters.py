"""A main meter and its sub-meters: only where all are known, and the same in one period as in many."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.model import EquipmentSection
from agent.digest.additive import disagreements
from agent.digest.build import build
from agent.digest.counters import Rules
from agent.digest.equipment.counts import from_counter
from agent.digest.equipment.spec import Input, MachineSpec, compile_machines
from agent.digest.equipment.submeters import Compared
from agent.digest.equipment.submeters import compared as compared_of
from agent.digest.equipment.tracks import Tracks
from agent.digest.report import Digest, encode
from agent.digest.windows import SECOND, Period
from tests.support.digest_plants import configuration, device, scenario, tag

HOUR = 3600 * SECOND
RULES = Rules(interval=SECOND)
MAIN = MachineSpec(
    name="main", key_process=False, energy=Input(row=0, kind="counter", rules=RULES), sub_meters=("sub",)
)
SUB = MachineSpec(name="sub", key_process=False, energy=Input(row=1, kind="counter", rules=RULES))
POWER = MachineSpec(name="sub", key_process=False, power=Input(row=1, kind="gauge"))
BAD = 128

Rows = list[tuple[int, float, int]]
"""Seconds, value, quality."""


def tracks(*meters: Rows, known: tuple[int, int] = (-60, 3600)) -> Tracks:
    made = Tracks(range(len(meters)), np.zeros(len(meters), np.intp), 1)
    for row, samples in enumerate(meters):
        time, value, quality = (np.array(column) for column in zip(*samples, strict=True)) if samples else ([], [], [])
        made.add(
            np.full(len(samples), row, np.intp),
            np.array(time, np.int64) * SECOND,
            np.array(value, np.float64),
            np.array(quality, np.uint8),
        )
    made.scanned(np.zeros(1, np.intp), np.array([known[0] * SECOND]), np.array([known[1] * SECOND]))
    return made


def compared(main: MachineSpec, subs: list[MachineSpec], meters: Tracks, period: Period) -> Compared:
    """As in a digest, where the meters' counters have been read."""
    counted = {
        each.name: from_counter(each.energy.rules, meters.of(each.energy.row), period)
        for each in (main, *subs)
        if each.energy and each.energy.rules
    }
    return compared_of(main, subs, counted, meters, period)


def ticking(seconds: int, kwh: float, start: float = 1000.0) -> Rows:
    return [(-60, start, 0), *((at, start + kwh * number, 0) for number, at in enumerate(range(0, 3600, seconds), 1))]


def test_time_that_one_of_them_does_not_know_is_left_out_of_both() -> None:
    gap = sorted([*((at, value, 0) for at, value, _ in ticking(60, 1.0) if not 1200 <= at < 2400), (1200, 0.0, BAD)])
    found = compared(MAIN, [SUB], tracks(ticking(60, 2.0), gap), Period(0, HOUR))
    # Ticks at 0 … 1140 s, and after the one at 2400 s up to 3540 s: 20 and 19.
    assert found == Compared(main_kwh=78.0, sub_kwh=39.0, known_us=2400 * SECOND)


def test_a_counter_against_power() -> None:
    found = compared(MAIN, [POWER], tracks(ticking(60, 0.5), [(-60, 30.0, 0)]), Period(0, HOUR))
    assert found == Compared(main_kwh=30.0, sub_kwh=30.0, known_us=HOUR)


@pytest.mark.parametrize("rows", [[], [(-60, 5.0, BAD)], [(3590, 5.0, 0)]])
def test_a_meter_that_tells_nothing_makes_no_comparison(rows: Rows) -> None:
    assert compared(MAIN, [SUB], tracks(ticking(60, 2.0), rows), Period(0, HOUR)) == Compared()


def test_a_meter_that_stands_still_has_used_nothing_and_is_known() -> None:
    found = compared(MAIN, [SUB], tracks(ticking(60, 2.0), [(-60, 7.0, 0)]), Period(0, HOUR))
    assert found == Compared(main_kwh=120.0, sub_kwh=0.0, known_us=HOUR)


def test_a_rollover_is_counted() -> None:
    rolling = msgspec.convert([(-60, 9999.0, 0), (600, 9999.5, 0), (1200, 0.5, 0)], Rows)
    sub = MachineSpec(
        name="sub",
        key_process=False,
        energy=Input(row=1, kind="counter", rules=Rules(interval=SECOND, tops=(1e4,), declared=True)),
    )
    assert compared(MAIN, [sub], tracks(ticking(60, 2.0), rolling), Period(0, HOUR)).sub_kwh == 1.5


@given(st.lists(st.integers(1, 3599), max_size=5), st.lists(st.integers(0, 5), min_size=60, max_size=60))
def test_periods_add_up(cuts: list[int], steps: list[int]) -> None:
    values = np.cumsum(steps).tolist()
    uneven: Rows = [(-60, 0.0, 0), *((60 * number, float(value), 0) for number, value in enumerate(values))]
    meters = tracks(ticking(60, 5.0), uneven)
    edges = sorted({0, 3600, *(cut // 60 * 60 for cut in cuts)})
    parts = [compared(MAIN, [SUB], meters, Period(a * SECOND, b * SECOND)) for a, b in pairwise(edges)]
    whole = compared(MAIN, [SUB], meters, Period(0, HOUR))
    assert whole == Compared(main_kwh=300.0, sub_kwh=float(sum(steps)), known_us=HOUR)
    assert sum(each.main_kwh for each in parts) == whole.main_kwh
    assert sum(each.sub_kwh for each in parts) == whole.sub_kwh
    assert whole.sub_kwh <= whole.main_kwh


def test_the_sum_of_sub_meters_does_not_tell_of_one_that_must_stay() -> None:
    tags = [tag("m.main"), tag("m.a", 1), tag("m.b", 2, sensitivity=3)]
    sections = [
        EquipmentSection(name="a", energy="m.a"),
        EquipmentSection(name="b", energy="m.b"),
        EquipmentSection(name="hall", energy="m.main", sub_meters=("a",)),
        EquipmentSection(name="all", energy="m.main", sub_meters=("a", "b")),
    ]
    machines = {each.name: each for each in compile_machines(configuration([device("m", tags)], equipment=sections))}
    assert machines["hall"].sub_meters == ("a",) and machines["hall"].metering_only
    assert machines["all"].sub_meters == () and not machines["a"].metering_only


def test_the_comparison_of_a_day_is_held_against_that_of_its_parts() -> None:
    folder = Path(__file__).parents[2] / "testcases" / "digest-sub-meters"
    digest = build(scenario(folder)[0])
    assert disagreements(digest, [digest]) == []
    plain = msgspec.json.decode(encode(digest))
    (hall,) = [each for each in plain["equipment"] if each["name"] == "hall"]
    hall["energy"]["sub_meters"]["sub_kwh"] = 40.0
    (problem,) = disagreements(msgspec.convert(plain, Digest), [digest])
    assert problem == "equipment.hall.energy.sub_meters.sub_kwh is 40, they make 49.6"
