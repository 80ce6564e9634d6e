"""A main meter against the sub-meters that it feeds, over the time in which all of them are known. Pure.

A counter tells what was used between any two moments at which it is known, so that its ticks, however coarse, add
up over periods; power is integrated. Time in which one meter is not known is left out on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.digest.equipment.counts import Counted
from agent.digest.equipment.energy import MINUTE_US
from agent.digest.equipment.spec import MachineSpec
from agent.digest.equipment.steps import Intervals, Steps
from agent.digest.equipment.tracks import Tracks
from agent.digest.windows import Period

SHORTEST_US = MINUTE_US
"""Shorter stretches of common knowledge are left out: in each a counter is wrong by up to a tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """kWh of the main meter and of all that it feeds, over ``known_us`` microseconds."""

    main_kwh: float = 0.0
    sub_kwh: float = 0.0
    known_us: int = 0


def compared(
    main: MachineSpec,
    subs: Sequence[MachineSpec],
    counted: Mapping[str, Counted],
    tracks: Tracks,
    period: Period,
) -> Compared:
    """The comparison of one period; nothing where a meter is not known in it. ``counted``: by energy counters, by
    machine."""
    meters = [_Meter.of(each, counted.get(each.name), tracks, period) for each in (main, *subs)]
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
    def of(cls, machine: MachineSpec, counted: Counted | None, tracks: Tracks, period: Period) -> _Meter:
        # From just before the period: what it has counted since then is of the period, whichever way a sample
        # on its edge falls, and periods add up without a rest.
        window = period.start - 1, period.end
        if machine.energy is not None:
            if counted is None or not counted.certain:
                return cls(Steps.nothing(), True)
            value = counted.total * machine.energy.factor
            good = np.ones(len(value), np.bool_)
            return cls(Steps.of_samples(counted.time, value, good, counted.good).clipped(*window), True)
        if machine.power is not None:
            return cls(tracks.of(machine.power.row).steps(machine.power.factor).clipped(*window), False)
        return cls(Steps.nothing(), False)

    def kwh(self, stretches: Intervals, period: Period) -> float:
        """What was used in stretches in all of which the meter is known."""
        if not self.counts:
            return self.steps.within(stretches.clipped(period.start, period.end)).integral() / 3600
        return float((self.steps.at(stretches.end - 1) - self.steps.at(stretches.start)).sum())
