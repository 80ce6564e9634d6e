"""The plants of the month: which machines, what is wrong with them, and what happens to the gateway. Data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np

from scripts.sandbox.month import wires
from scripts.sandbox.month.happen import Habit, Times
from scripts.sandbox.month.machine import DIGIT, Lived, Machine, Month, Outage, device_told, live, told
from scripts.sandbox.month.shifts import SECOND, Plan, Span, joined
from scripts.sandbox.month.tape import Device
from scripts.sandbox.month.wires import Counting

MAIN_EXTRA_KW = 4.0
"""What the plant uses besides its machines."""


@dataclass(kw_only=True)
class Plant:
    """``power_cuts``: when the gateway was without; ``restarts``: when the agent was restarted. ``clock``: stretches
    in which the system's clock was off by so many seconds. ``inventory``: machines that the plant declares."""

    month: Month
    machines: Sequence[Machine]
    period_min: int
    inventory: int
    power_cuts: Sequence[Outage] = ()
    restarts: Sequence[Outage] = ()
    clock: Sequence[tuple[Outage, float]] = ()
    main_meter: bool = False
    seed: int = 1
    lived: list[Lived] = field(default_factory=list)
    main: Device | None = None

    def __post_init__(self) -> None:
        off = self.off
        self.lived = [live(machine, self.month, off, self.seed) for machine in self.machines]
        if self.main_meter:
            wired = {"energy": wires.energy(self.used, DIGIT, Counting())}
            self.main = Device(name="main", interval_us=10 * SECOND, wires=wired, off=off)

    @property
    def off(self) -> list[Span]:
        """When the agent does not run."""
        return joined([self.month.span(each) for each in (*self.power_cuts, *self.restarts)])

    @property
    def devices(self) -> list[Device]:
        """All of them."""
        own = [device for each in self.lived for device in each.devices]
        return [*own, self.main] if self.main else own

    @property
    def start(self) -> int:
        """UTC microseconds."""
        return self.month.at(0)

    @property
    def end(self) -> int:
        """UTC microseconds."""
        return self.month.at(self.month.days)

    def used(self, time: Times) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """kWh of the whole plant since the start."""
        total: np.ndarray[tuple[int], np.dtype[np.float64]] = sum(
            (each.history.kwh(time) for each in self.lived), (time - self.start) / 3.6e9 * MAIN_EXTRA_KW
        )
        return total

    def configuration(self) -> str:
        """``config.toml``."""
        head = (
            f'[gateway]\nname = "month"\ntimezone = "{self.month.zone.key}"\n'
            '[enterprise]\nname = "Example Press Works"\n'
            f"inventory = {{ production_equipment = {self.inventory}, digital = {self.inventory} }}\n"
            f'[digest]\nperiod = "{self.period_min}m"\n'
        )
        parts = [head, *(told(machine) for machine in self.machines)]
        if self.main:
            tags = [f'name = "energy", type = "uint32", kind = "counter", scale = {DIGIT}, unit = "kWh"']
            parts.append(device_told("main", 10.0, tags))
            parts.append('[[equipment]]\nname = "main"\nenergy = "main.energy"')
        return "\n".join(parts)


DAYS = ("mon", "tue", "wed", "thu", "fri")
GOLDEN_WEEK = tuple(f"2026-10-0{day}" for day in range(1, 8))
ALWAYS = Plan()
TWO_SHIFTS = Plan(
    days=DAYS, shifts=("06:00-14:00", "14:00-22:00"), breaks=("11:30-12:00", "18:00-18:30"),
    free=GOLDEN_WEEK, extra=("2026-10-10",),
)  # fmt: skip
NIGHT = Plan(days=DAYS, shifts=("14:00-22:00", "22:00-06:00"), breaks=("02:00-02:30",), free=GOLDEN_WEEK)


def shanghai(seed: int = 1, *, period_min: int = 15, slower: float = 1.0) -> Plant:
    """Ten machines and a main meter for 33 days with the national holidays. ``slower``: factor of the intervals
    between scans."""
    return Plant(
        month=Month(date(2026, 9, 14), 33, ZoneInfo("Asia/Shanghai")),
        machines=[replace(each, interval=each.interval * slower) for each in SHANGHAI],
        period_min=period_min,
        inventory=13,
        power_cuts=[(11, "09:10", 130.0)],
        restarts=[(3, "10:07", 0.4), (20, "23:59", 3.0)],
        clock=[((6, "13:00", 180.0), 2.5), ((6, "16:00", 60.0), -75.0), ((25, "04:00", 120.0), 0.6)],
        main_meter=True,
        seed=seed,
    )


SHANGHAI = (
    Machine(name="press-1", plan=ALWAYS, habits={0: Habit(cycle=8.4)}, ideal=8.0, key=True),
    Machine(
        name="press-2",
        plan=TWO_SHIFTS,
        habits={0: Habit(cycle=5.2, scrap=0.02)},
        ideal=4.8,
        pieces=Counting(first=60_000, top=65_536),
        restarts=[(9, "10:15", 1.6)],
        misreads=[(15, "09:00", 0.0)],
        extra=[(5, "06:00", 480.0), (12, "06:00", 480.0)],  # Saturdays that nobody planned
    ),
    Machine(
        name="cnc-1",
        plan=NIGHT,
        habits={0: Habit(cycle=300.0, load=110.0, micro_every=0.0, scrap=0.0)},
        ideal=280.0,
        style="packml",
        counting="state",
    ),
    Machine(
        name="mold-1",
        plan=ALWAYS,
        habits={0: Habit(cycle=30.0, micro_every=1_200.0, stop_every=40_000.0, fail_every=0.0, setup_every=0.0,
                         kw=(20.0, 5.0, 0.0, 0.0, 0.0, 0.3), dip=0.52)},
        ideal=28.0,
        style="power",
        counting="pulse",
    ),
    Machine(
        name="weld-1",
        plan=ALWAYS,
        habits={0: Habit(cycle=45.0, scrap=0.02, rework=0.01), 24: Habit(cycle=45.0, scrap=0.045, rework=0.015)},
        ideal=42.0,
        style="bits",
        rework=True,
        counted_energy=False,
    ),
    Machine(
        name="furnace-1",
        plan=ALWAYS,
        habits={0: Habit(cycle=2400.0, micro_every=0.0, stop_every=7_200.0, stop=(2000.0, 4000.0), fail_every=0.0,
                         setup_every=0.0, service_every=400_000.0, kw=(90.0, 62.0, 0.0, 10.0, 0.0, 2.0))},
        ideal=2300.0,
        style="machinery",
        interval=5.0,
        kwh=Counting(first=990_000),
    ),
    Machine(name="line-1", plan=ALWAYS, habits={0: Habit(fail_every=15_000.0, repair=700.0)}, ideal=9.6),
    Machine(
        name="line-2",
        plan=ALWAYS,
        habits={0: Habit(), 8: Habit(fail_every=42_000.0, repair=9_000.0, stop_every=3_000.0, stop=(900.0, 2400.0))},
        ideal=9.6,
    ),
    Machine(
        name="paint-1",
        plan=TWO_SHIFTS,
        habits={0: Habit(cycle=20.0), 7: Habit(cycle=13.0), 21: Habit(cycle=24.0),
                10: Habit(cycle=13.0, kw=(57.0, 2.0, 8.0, 0.5, 1.8, 0.2)), 11: Habit(cycle=13.0),
                27: Habit(cycle=24.0, rest=1, kw=(20.0, 5.0, 8.0, 0.5, 1.8, 0.2))},
        ideal=16.0,
        meter=True,
        meter_dark=[(16, "07:40", 200.0)],
        through_breaks=True,
        kwh=Counting(first=998_000, top=1_000_000),
        contract_kw=60.0,
    ),
    Machine(
        name="pack-1",
        plan=TWO_SHIFTS,
        habits={0: Habit(cycle=6.0)},
        ideal=5.6,
        dark=[
            *((4, f"{hour:02d}:40", 2.5) for hour in range(8, 13)),
            (8, "07:10", 300.0),
            (14, "06:30", 640.0), (15, "08:30", 700.0), (16, "05:30", 930.0),
            (25, "15:00", 35.0),
        ],
    ),
)  # fmt: skip


def berlin(seed: int = 1) -> Plant:
    """Three machines for 33 days in which the clocks go back; digests of an hour."""
    night = Plan(shifts=("06:00-14:00", "22:00-06:00"), breaks=("10:00-10:15",), days=(*DAYS, "sat"))
    return Plant(
        month=Month(date(2026, 10, 5), 33, ZoneInfo("Europe/Berlin")),
        machines=(
            Machine(name="press-1", plan=night, habits={0: Habit(cycle=9.0)}, ideal=8.5, interval=4.0),
            Machine(name="cnc-1", plan=ALWAYS, habits={0: Habit(cycle=240.0, load=30.0, micro_every=0.0)}, ideal=225.0,
                    style="packml", counting="state", interval=4.0),
            Machine(name="saw-1", plan=night, habits={0: Habit(cycle=50.0)}, ideal=48.0, style="bits", interval=4.0,
                    dark=[(20, "01:40", 100.0)]),
        ),
        period_min=60,
        inventory=3,
        seed=seed,
    )  # fmt: skip
