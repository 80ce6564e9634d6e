"""One machine of the month: how it lives, what is wired, and what the agent is told of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scripts.sandbox.month import wires
from scripts.sandbox.month.happen import (
    EXECUTING,
    FAULT,
    SETUP,
    STANDBY,
    Habit,
    History,
    Times,
    happen,
)  # fmt: skip
from scripts.sandbox.month.shifts import MINUTE, SECOND, Plan, Span, joined, less, moment, planned
from scripts.sandbox.month.tape import Device
from scripts.sandbox.month.wires import Counting

NEW = Counting()
DIGIT = 0.01
"""kWh of a meter's last digit."""
ORDERS = {
    "word": (2, 1, 3, 4, 5, 0),
    "packml": (6, 4, 15, 21, 9, 0),
    "machinery": (3, 2, 2, 1, 2, 0),
}
"""A state word's values, in the order of the states."""
WORDS = {
    "word": '{{ tag = "{0}.state", map = {{ 0 = "off", 1 = "standby", 2 = "executing", 3 = "setup",'
    ' 4 = "maintenance", 5 = "fault" }} }}',
    "packml": '{{ tag = "{0}.state", preset = "packml", map = {{ 0 = "off", 21 = "maintenance" }} }}',
    "machinery": '{{ tag = "{0}.state", preset = "machinery" }}',
    "bits": '{{ bits = {{ executing = "{0}.executing", standby = "{0}.standby", setup = "{0}.setup",'
    ' fault = "{0}.fault" }} }}',
    "power": '{{ power = "{0}.power", executing_above = 12, standby_above = 2, hysteresis = 0.2 }}',
}
Outage = tuple[int, str, float]
"""Day of the month (0 is the first), wall clock, minutes."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """``habits``: by the day from which on they hold. ``style``: how its state is told, a key of :data:`WORDS`.
    ``counting``: ``counter``, ``pulse``, ``state``. ``ideal``: the ideal cycle that the agent is told. ``meter``:
    whether its power is measured by a device of its own. ``extra``: shifts that are worked but not planned.
    ``restarts``, ``misreads``: of its PLC's counters. ``dark``, ``meter_dark``: when a device does not answer."""

    name: str
    plan: Plan
    habits: Mapping[int, Habit]
    ideal: float
    style: str = "word"
    counting: str = "counter"
    interval: float = 2.0
    meter: bool = False
    counted_energy: bool = True
    through_breaks: bool = False
    extra: Sequence[Outage] = ()
    pieces: Counting = NEW
    kwh: Counting = NEW
    restarts: Sequence[Outage] = ()
    misreads: Sequence[Outage] = ()
    dark: Sequence[Outage] = ()
    meter_dark: Sequence[Outage] = ()
    contract_kw: float | None = None
    rework: bool = False
    key: bool = False


@dataclass(eq=False)
class Lived:
    """A machine's month. ``devices``: that of its state and pieces, then that of its power. ``falls``: when one of
    its counters starts again, by device."""

    machine: Machine
    history: History
    planned: list[Span]
    devices: list[Device]
    falls: list[tuple[Device, int]] = field(default_factory=list)

    @property
    def meter(self) -> Device:
        """The device that its power is on."""
        return self.devices[-1]


@dataclass(frozen=True)
class Month:
    """When: ``first`` day, how many, in which zone."""

    first: date
    days: int
    zone: ZoneInfo

    def at(self, day: int, clock: str = "00:00") -> int:
        """UTC microseconds of a wall clock time."""
        return moment(self.first + timedelta(days=day), clock, self.zone)

    def span(self, outage: Outage) -> Span:
        """When it was."""
        begin = self.at(outage[0], outage[1])
        return begin, begin + round(outage[2] * MINUTE)


def live(machine: Machine, month: Month, off: Sequence[Span], seed: int) -> Lived:
    """``off``: when the gateway has no power."""
    start, end = month.at(0), month.at(month.days)
    plan = planned(machine.plan, month.first, month.days, month.zone)
    unbroken = Plan(**{name: getattr(machine.plan, name) for name in ("days", "shifts", "free", "extra")})
    staffed = planned(unbroken, month.first, month.days, month.zone) if machine.through_breaks else plan
    staffed = joined([*staffed, *(month.span(each) for each in machine.extra)])
    habits = {month.at(day): habit for day, habit in machine.habits.items()}
    history = happen(machine.name, start, end, staffed, habits, seed)
    # What restarts is silent for a while.
    dark = joined([month.span(each) for each in (*machine.dark, *machine.restarts)])
    own = Device(
        name=machine.name,
        interval_us=round(machine.interval * SECOND),
        wires=_of_plc(machine, month, history),
        dark=less(dark, off),
        off=off,
    )
    devices = [own]
    if machine.meter:
        meter_dark = [month.span(each) for each in machine.meter_dark]
        wired = _of_meter(machine, history)
        interval = round(machine.interval * SECOND)
        meter = Device(name=f"meter-{machine.name}", interval_us=interval, wires=wired, dark=meter_dark, off=off)
        devices.append(meter)
    lived = Lived(machine, history, plan, devices)
    corrected = [month.span(each)[0] + wires.CORRECTED_AFTER for each in machine.misreads]
    for device in devices:
        for name, wire in device.wires.items():
            if name in COUNTERS and (machine.pieces.top or machine.restarts or machine.kwh.first):
                found = wires.falls(wire, start, end)
                lived.falls += [(device, at) for at in found if all(abs(at - each) > MINUTE for each in corrected)]
    return lived


COUNTERS = ("total", "good", "scrap", "rework", "energy")


def _of_plc(machine: Machine, month: Month, history: History) -> dict[str, wires.Wire]:
    how = Counting(
        first=machine.pieces.first,
        top=machine.pieces.top,
        restarts=[month.span(each)[0] for each in machine.restarts],
        misread=[month.span(each)[0] for each in machine.misreads],
    )
    found: dict[str, wires.Wire] = {}
    if machine.style in ORDERS:
        found["state"] = wires.word(history, dict(enumerate(ORDERS[machine.style])))
    elif machine.style == "bits":
        codes = {"executing": EXECUTING, "standby": STANDBY, "setup": SETUP, "fault": FAULT}
        found |= {name: wires.bit(history, code) for name, code in codes.items()}
    if machine.counting == "pulse":
        found["pulse"] = wires.pulse(history.pieces, round((2 * machine.interval + 1) * SECOND))
    elif machine.counting == "counter":
        found["total"] = wires.counter(history.pieces, how)
        found["good"] = wires.counter(history.pieces[history.good], how)
        if machine.rework:
            rework = history.rework
            found["scrap"] = wires.counter(history.pieces[~history.good & ~rework], Counting())
            found["rework"] = wires.counter(history.pieces[rework], Counting())
    return found if machine.meter else found | _of_meter(machine, history)


def _of_meter(machine: Machine, history: History) -> dict[str, wires.Wire]:
    found: dict[str, wires.Wire] = {"power": wires.gauge(history)}
    if machine.counted_energy:
        found["energy"] = wires.energy(history.kwh, DIGIT, machine.kwh)
    return found


def told(machine: Machine) -> str:
    """The machine and its devices in the words of the configuration."""
    power = f"meter-{machine.name}" if machine.meter else machine.name
    lines = [device_told(machine.name, machine.interval, _tags(machine))]
    if machine.meter:
        lines.append(device_told(power, machine.interval, _meter_tags(machine)))
    lines += [
        "[[equipment]]",
        f'name = "{machine.name}"',
        f"key_process = {str(machine.key).lower()}",
        f"state = {WORDS[machine.style].format(machine.name)}",
        f'ideal_cycle = "{machine.ideal}s"',
        f'power = "{power}.power"',
    ]
    if machine.counted_energy:
        lines.append(f'energy = "{power}.energy"')
    if machine.counting == "state":
        lines.append('produced_by_state = "executing"')
    elif machine.counting == "pulse":
        lines.append(f'produced = "{machine.name}.pulse"')
    else:
        lines += [f'produced = "{machine.name}.total"', f'good = "{machine.name}.good"']
    if machine.rework:
        lines += [f'scrap = "{machine.name}.scrap"', f'rework = "{machine.name}.rework"']
    if machine.contract_kw:
        lines.append(f"contract_kw = {machine.contract_kw}")
    return "\n".join([*lines, _calendar(machine.plan)])


def _calendar(plan: Plan) -> str:
    words = {"days": plan.days, "shifts": plan.shifts, "breaks": plan.breaks}
    words |= {"holidays": plan.free, "working_days": plan.extra}
    inside = ", ".join(
        f"{name} = [{', '.join(f'{chr(34)}{each}{chr(34)}' for each in some)}]" for name, some in words.items()
    )
    return f"calendar = {{ {inside} }}"


def _tags(machine: Machine) -> list[str]:
    tags = []
    if machine.style in ORDERS:
        tags.append('name = "state", type = "uint16", kind = "state"')
    elif machine.style == "bits":
        tags += [
            f'name = "{name}", type = "bool", kind = "state"' for name in ("executing", "standby", "setup", "fault")
        ]
    if machine.counting == "pulse":
        tags.append('name = "pulse", type = "bool", kind = "state"')
    elif machine.counting == "counter":
        kind = (
            f'"uint16", kind = "counter", rollover = {machine.pieces.top}'
            if machine.pieces.top
            else '"uint32", kind = "counter"'
        )
        names = ("total", "good", "scrap", "rework") if machine.rework else ("total", "good")
        tags += [f'name = "{name}", type = {kind}' for name in names]
    return tags if machine.meter else tags + _meter_tags(machine)


def _meter_tags(machine: Machine) -> list[str]:
    tags = ['name = "power", type = "float32", unit = "kW"']
    if machine.counted_energy:
        tags.append(f'name = "energy", type = "uint32", kind = "counter", scale = {DIGIT}, unit = "kWh"')
    return tags


def device_told(name: str, interval: float, tags: Sequence[str]) -> str:
    places = [f"discrete:{at}" if '"bool"' in each else f"holding:{2 * at}" for at, each in enumerate(tags)]
    rows = ",\n".join(f'  {{ {each}, address = "{place}" }}' for each, place in zip(tags, places, strict=True))
    return (
        f'[[device]]\nname = "{name}"\ndriver = "modbus"\ninterval = "{round(interval * 1000)}ms"\n'
        f'connection = {{ host = "192.0.2.1" }}\ntag = [\n{rows},\n]'
    )


def seen(spans: Sequence[Span], times: Sequence[int]) -> Times:
    """The last moment up to each time that lies in one of the spans."""
    begins, ends = (np.array(each, np.int64) for each in zip(*spans, strict=True))
    time = np.asarray(times, np.int64)
    place = np.maximum(np.searchsorted(begins, time, side="right") - 1, 0)
    result: Times = np.minimum(time, np.maximum(ends[place], begins[0]))
    return result
