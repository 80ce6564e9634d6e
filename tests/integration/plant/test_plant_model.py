"""The simulated plant: its history depends on the seed alone, and its registers say what is true."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from scripts.sandbox.plant import Plant
from scripts.sandbox.plant.press import NOMINAL_CYCLE_S, Behaviour, Press, State
from scripts.sandbox.plant.registers import DISCRETE, HOLDING, INPUT, Registers

LONG = 8 * 3600.0


class Time:
    def __init__(self) -> None:
        self.us = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.us


def run(press: Press, to: float, step: float) -> list[Any]:
    events, at = [], 0.0
    while at < to:
        at = min(at + step, to)
        events += press.advance(at)
    return events


@pytest.mark.parametrize("step", [0.37, 10.0, LONG])
def test_history_does_not_depend_on_how_often_one_looks(step: float) -> None:
    a, b = Press(seed=7), Press(seed=7)
    assert run(a, LONG, 1.0) == run(b, LONG, step)
    assert (a.total, a.good, a.state) == (b.total, b.good, b.state)
    assert a.energy == pytest.approx(b.energy)
    assert a.oil_temp == pytest.approx(b.oil_temp)


def test_seeds_differ() -> None:
    assert run(Press(seed=1), LONG, LONG) != run(Press(seed=2), LONG, LONG)


def test_a_shift_has_everything_in_it() -> None:
    press = Press(seed=3)
    before = press.total
    events = run(press, LONG, 60.0)
    reasons = {event.detail["why"] for event in events if event.what == "state"}
    assert {"cycle", "micro-stop", "stop", "fault"} <= reasons
    cycles = [event for event in events if event.what == "cycle"]
    assert press.total - before == len(cycles)
    assert any(not event.detail["ok"] for event in cycles)
    mean = sum(event.detail["seconds"] for event in cycles) / len(cycles)
    assert mean == pytest.approx(NOMINAL_CYCLE_S, rel=0.02)
    assert press.scrap == press.total - press.good
    assert sum(press.time_in(state) for state in State) == pytest.approx(LONG)


def test_energy_is_the_integral_of_the_power() -> None:
    press = Press(seed=5)
    joules, step = 0.0, 0.01
    for tick in range(60_000):
        list(press.advance(tick * step + step / 2))
        joules += press.power * step
    list(press.advance(600.0))
    assert press.energy == pytest.approx(joules, rel=1e-3)


def test_power_follows_the_state() -> None:
    press = Press(seed=3)
    power: dict[State, list[float]] = {state: [] for state in State}
    for second in range(20_000):
        list(press.advance(second * 1.0))
        power[press.state].append(press.power)
    mean = {state: sum(values) / len(values) for state, values in power.items() if values}
    assert mean[State.EXECUTING] > 3 * mean[State.STANDBY]
    assert mean[State.STANDBY] > mean[State.FAULT]


def words(table: Registers, function: int, address: int, count: int) -> tuple[int, ...]:
    data = table.read(function, address, count)
    assert isinstance(data, bytes)
    return struct.unpack(f">{count}H", data)


def test_registers_say_what_is_true() -> None:
    time = Time()
    plant = Plant(seed=2, now_us=time)
    time.us += 600_000_000
    press, unit = plant.press, plant.net_units[1]
    data = unit.read(HOLDING, 0, 14)
    assert isinstance(data, bytes)
    state, _, total, good, scrap, strokes, pressure, lo, hi, spm = struct.unpack(">HHIIIHhHHf", data)
    assert (state, total, good, scrap) == (press.state, press.total, press.good, press.scrap)
    assert strokes == press.strokes % 65536
    assert pressure == round(press.pressure * 10)
    assert struct.unpack(">f", struct.pack(">HH", hi, lo))[0] == pytest.approx(press.oil_temp)
    assert spm == pytest.approx(press.spm)
    assert unit.read(HOLDING, 20, 8) == b"GF-P160-00017\0\0\0"
    running = unit.read(DISCRETE, 0, 3)
    assert isinstance(running, bytes)
    assert running[0] & 1 == (press.state is State.EXECUTING)


def test_meter_has_the_map_of_a_dtsu666() -> None:
    time = Time()
    plant = Plant(seed=2, now_us=time)
    time.us += 3_600_000_000
    meter = plant.net_units[2]

    def float32(address: int) -> float:
        data = meter.read(HOLDING, address, 2)
        assert isinstance(data, bytes)
        return float(struct.unpack(">f", data)[0])

    volts = [float32(address) / 10 for address in (0x2006, 0x2008, 0x200A)]
    amps = [float32(address) / 1000 for address in (0x200C, 0x200E, 0x2010)]
    watts = float32(0x2012) / 10
    factor = float32(0x202A) / 1000
    assert all(225 < volt < 235 for volt in volts)
    assert 49 < float32(0x2044) / 100 < 51
    assert watts == pytest.approx(plant.press.power)
    assert sum(v * a for v, a in zip(volts, amps, strict=True)) * factor == pytest.approx(watts, rel=1e-3)
    assert float32(0x101E) == pytest.approx(48_210.5 + plant.press.energy / 3.6e6, abs=0.01)


def test_compressor_holds_its_limits() -> None:
    time = Time()
    plant = Plant(seed=2, now_us=time)
    pressures, states = [], set()
    for _ in range(2000):
        time.us += 1_000_000
        pressure, _, _, state, lo, hi = words(plant.serial_units[3], INPUT, 0, 6)
        pressures.append(pressure / 100)
        states.add(state)
    assert 6.7 < min(pressures) < 7 < max(pressures) < 7.6
    assert states == {1, 2}
    assert hi << 16 | lo == int(4_311.4 * 3600) + 2000


@pytest.mark.parametrize(
    ("function", "address", "count", "answer"),
    [(3, 14, 1, 2), (3, 10, 8, 2), (3, 0, 126, 3), (3, 0, 0, 3), (6, 0, 1, 1), (16, 0, 1, 1), (3, 65535, 2, 2)],
)
def test_L10_holes_and_what_is_no_read_are_refused(function: int, address: int, count: int, answer: int) -> None:
    plant = Plant(now_us=Time())
    assert plant.net_units[1].read(function, address, count) == answer
    assert plant.refused_functions == ([function] if answer == 1 else [])


def test_truth_accounts_for_the_counters() -> None:
    time, told = Time(), []
    plant = Plant(seed=4, speed=10.0, now_us=time, truth=told.append)
    for _ in range(60):
        time.us += 10_000_000
        plant.advance()
    plant.finish()
    start, *_, end = told
    assert (start["event"], end["event"]) == ("start", "end")
    cycles = [record for record in told if record["event"] == "cycle"]
    assert end["total"] - start["total"] == len(cycles) > 500
    assert end["good"] - start["good"] == sum(record["ok"] for record in cycles)
    assert sum(end["seconds"].values()) == pytest.approx(6000)
    stamps = [record["time_us"] for record in told if record["equipment"] == "press-1"]
    assert stamps == sorted(stamps)
    assert start["time_us"] <= stamps[0] <= stamps[-1] <= time.us


def test_busy_behaviour_can_be_asked_for() -> None:
    press = Press(seed=1, behaviour=Behaviour(fault=1.0, fault_s=(5.0, 6.0)))
    events = run(press, 60.0, 60.0)
    assert sum(event.detail.get("why") == "fault" for event in events) >= 5
    assert any(event.detail.get("alarms") for event in events)
