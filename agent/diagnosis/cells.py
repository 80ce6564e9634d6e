"""A span of time in cells that pictures can show: sums of periods, or of days where only those are left. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from agent.digest.equipment.states import STATES
from agent.digest.equipment.sums import MachineSums
from agent.digest.rollups import DeviceSums, Sums, day_of
from agent.digest.windows import DAY, SECOND, Period

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

MOST_CELLS = 800
"""More than this no page of paper can show side by side."""
MINUTE = 60 * SECOND
_STEPS = (MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE, 360 * MINUTE, DAY, 7 * DAY)
_KWH, _IDLE, _METERED, _KNOWN, _SPAN = range(len(STATES), len(STATES) + 5)
_WIDTH = len(STATES) + 5


def step_for(length: int, most: int = MOST_CELLS) -> int:
    """The width (microseconds) of which no more than ``most`` cells fill ``length``; at least a minute."""
    return next((step for step in _STEPS if length <= step * most), _STEPS[-1])


def plant_days(span: Period, zone: ZoneInfo) -> Iterator[Period]:
    """The plant's days that the span touches."""
    date = datetime.fromtimestamp(span.start // SECOND, zone).date()
    while True:
        start = round(datetime.combine(date, datetime.min.time(), zone).timestamp()) * SECOND
        if start >= span.end:
            return
        yield day_of(start, zone)
        date += timedelta(days=1)


@dataclass(frozen=True, slots=True, eq=False)
class MachineCells:
    """One machine, a row a cell. ``states``: microseconds by state [cell, state]; ``metered_kwh``: used while
    energy was known (``known_us``); ``span_us``: for which the machine was configured at all."""

    states: Floats
    kwh: Floats
    idle_kwh: Floats
    metered_kwh: Floats
    known_us: Floats
    span_us: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """``start``, ``end``: UTC microseconds, ascending; where a cell is missing no digest was built.

    ``good`` and ``expected`` of ``devices``: samples, a row a cell.
    """

    start: Times
    end: Times
    machines: dict[str, MachineCells]
    devices: dict[str, tuple[Floats, Floats]]

    def __len__(self) -> int:
        return len(self.start)


@dataclass(slots=True)
class _Cell:
    key: tuple[int, int]
    start: int
    end: int
    machines: dict[str, Floats] = field(default_factory=dict)
    devices: dict[str, Floats] = field(default_factory=dict)


class CellBuilder:
    """Takes the sums of periods or days in their order; those that share a step become one cell.

    Steps are counted from each midnight of the plant, so a day that is 23 or 25 hours long has its own cells.
    """

    def __init__(self, step: int, zone: ZoneInfo) -> None:
        self._step = step
        self._zone = zone
        self._cells: list[_Cell] = []
        self._day = (0, 0)

    def add(self, sums: Sums) -> None:
        """The next stretch of time."""
        cell = self._cell(sums)
        cell.end = max(cell.end, sums.end)
        for name, machine in sums.machines.items():
            row = cell.machines.setdefault(name, np.zeros(_WIDTH))
            row += _row(machine)
        for name, device in sums.devices.items():
            counts = cell.devices.setdefault(name, np.zeros(2))
            counts += _counts(device)

    def _cell(self, sums: Sums) -> _Cell:
        if not self._day[0] <= sums.start < self._day[1]:
            day = day_of(sums.start, self._zone)
            self._day = (day.start, day.end)
        key = (self._day[0], (sums.start - self._day[0]) // self._step)
        if not self._cells or self._cells[-1].key != key:
            self._cells.append(_Cell(key, sums.start, sums.end))
        return self._cells[-1]

    def result(self) -> Cells:
        """All of it as columns."""
        return Cells(
            start=np.array([each.start for each in self._cells], np.int64),
            end=np.array([each.end for each in self._cells], np.int64),
            machines={
                name: _machine(np.array([each.machines.get(name, _NO_MACHINE) for each in self._cells]))
                for name in _names(each.machines for each in self._cells)
            },
            devices={
                name: _device(np.array([each.devices.get(name, _NO_DEVICE) for each in self._cells]))
                for name in _names(each.devices for each in self._cells)
            },
        )


_NO_MACHINE = np.zeros(_WIDTH)
_NO_DEVICE = np.zeros(2)


def _names(found: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for each in found for name in each))


def _row(sums: MachineSums) -> Floats:
    states = [float(sums.states.get(state, 0)) for state in STATES]
    metered = sums.metered_kwh or sums.kwh  # sums of an earlier version do not tell the first
    return np.array([*states, sums.kwh, sums.idle_kwh, metered, float(sums.energy_known_us), float(sums.span_us)])


def _counts(sums: DeviceSums) -> Floats:
    return np.array([float(sums.good), float(sums.expected)])


def _machine(rows: Floats) -> MachineCells:
    return MachineCells(
        states=rows[:, : len(STATES)],
        kwh=rows[:, _KWH],
        idle_kwh=rows[:, _IDLE],
        metered_kwh=rows[:, _METERED],
        known_us=rows[:, _KNOWN],
        span_us=rows[:, _SPAN],
    )


def _device(rows: Floats) -> tuple[Floats, Floats]:
    return rows[:, 0], rows[:, 1]


def merged(cells: Cells, step: int, zone: ZoneInfo) -> Cells:
    """The same in wider cells."""
    keys: list[tuple[int, int]] = []
    for start in cells.start.tolist():
        day = day_of(start, zone).start
        keys.append((day, (start - day) // step))
    head = [at for at, key in enumerate(keys) if not at or key != keys[at - 1]]
    if len(head) == len(keys):
        return cells
    return grouped(cells, head)


def grouped(cells: Cells, head: Sequence[int]) -> Cells:
    """Neighbours as one; ``head``: where each group begins."""
    last = [*[at - 1 for at in head[1:]], len(cells) - 1]

    def summed(values: Floats) -> Floats:
        return np.add.reduceat(values, head, axis=0)

    return Cells(
        start=cells.start[list(head)],
        end=cells.end[last],
        machines={
            name: MachineCells(*(summed(getattr(each, part)) for part in MachineCells.__slots__))
            for name, each in cells.machines.items()
        },
        devices={name: (summed(good), summed(due)) for name, (good, due) in cells.devices.items()},
    )
