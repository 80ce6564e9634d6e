"""A main meter against the sub-meters that it feeds, over the time in which all of them are known. Pure.

A counter tells what was used between any two moments at which it is known, so that its ticks, however coarse, add
up over periods; power is integrated. Time in which one meter is not known is left out on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.digest.counters import fall
from agent.digest.equipment.energy import MINUTE_US
from agent.digest.equipment.spec import Input, MachineSpec
from agent.digest.equipment.steps import Intervals, Steps
from agent.digest.equipment.tracks import Track, Tracks
from agent.digest.windows import Period

SHORTEST_US = MINUTE_US
"""Shorter stretches of common knowledge are left out: in each a counter is wrong by up to a tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """kWh of the main meter and of all that it feeds, over ``known_us`` microseconds."""

    main_kwh: float = 0.0
    sub_kwh: float = 0.0
    known_us: int = 0


def compared(main: MachineSpec, subs: Sequence[MachineSpec], tracks: Tracks, period: Period) -> Compared:
    """The comparison of one period; nothing where a meter is not known in it."""
    meters = [_Meter.of(each, tracks, period) for each in (main, *subs)]
    common = meters[0].steps.known
    for meter in meters[1:]:
        common = common.within(meter.steps.known)
    long = common.end - common.start >= min(SHORTEST_US, period.length)
    common = Intervals(common.start[long], common.end[long])
    used = [meter.kwh(common, period) for meter in meters]
    known = common.clipped(period.start, period.end).total
    return Compared(main_kwh=used[0], sub_kwh=sum(used[1:]), known_us=known) if known else Compared()


@dataclass(frozen=True, slots=True, eq=False)
class _Meter:
    """``steps``: kWh counted so far where ``counts``, else kW."""

    steps: Steps
    counts: bool

    @classmethod
    def of(cls, machine: MachineSpec, tracks: Tracks, period: Period) -> _Meter:
        # From just before the period: what it has counted since then is of the period, whichever way a sample
        # on its edge falls, and periods add up without a rest.
        window = period.start - 1, period.end
        if machine.energy is not None:
            track = tracks.of(machine.energy.row)
            value = unrolled(track, machine.energy) * machine.energy.factor
            return cls(Steps.of_samples(track.time, value, track.good, track.known).clipped(*window), True)
        if machine.power is not None:
            return cls(tracks.of(machine.power.row).steps(machine.power.factor).clipped(*window), False)
        return cls(Steps.nothing(), False)

    def kwh(self, stretches: Intervals, period: Period) -> float:
        """What was used in stretches in all of which the meter is known."""
        if not self.counts:
            return self.steps.within(stretches.clipped(period.start, period.end)).integral() / 3600
        return float((self.steps.at(stretches.end - 1) - self.steps.at(stretches.start)).sum())


def unrolled(track: Track, each: Input) -> NDArray[np.float64]:
    """A counter as if it had never fallen; NaN where it is not good. A fall that counted nothing leaves a plateau."""
    result = np.full(len(track.value), np.nan)
    value = track.value[track.good]
    step = np.diff(value)
    for row in np.flatnonzero(step < 0).tolist():  # rare
        _, step[row] = fall(float(value[row]), float(value[row + 1]), each.tops, declared=each.declared)
    if len(value):
        result[track.good] = np.concatenate((value[:1], value[:1] + np.cumsum(step)))
    return result
