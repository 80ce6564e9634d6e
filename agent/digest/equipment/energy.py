"""Energy: from a counter, or by integrating power; joined with the states it is idle or productive. Pure.

kWh and kW throughout. A counter's step between two samples is spread evenly over the time between them, so
that a slow pulse meter can still be joined with the states; what it counted in a gap counts for the total only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.digest.equipment.states import EXECUTING, OFF, UNKNOWN
from agent.digest.equipment.steps import Intervals, Steps
from agent.digest.windows import Period

HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000
DEMAND_US = 900_000_000
KNOWN_SHARE = 0.5
"""A minute or quarter of an hour counts when power was known for at least so much of it."""
BINS_A_DECADE = 50
"""Resolution of the histogram of minute means: under 5 % a bin."""

TO_KWH = {"kWh": 1.0, "Wh": 1e-3, "MWh": 1e3, "MJ": 1 / 3.6, "GJ": 1e3 / 3.6, "kJ": 1 / 3600}
TO_KW = {"kW": 1.0, "W": 1e-3, "MW": 1e3, "kVA": 1.0, "VA": 1e-3}
APPARENT = ("kVA", "VA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """One period. ``basis``: ``counter``, ``power`` or empty (nothing configured or known)."""

    basis: str = ""
    kwh: float = 0.0
    idle_kwh: float = 0.0
    """Powered, but not executing."""
    joined_kwh: float = 0.0
    """What of ``kwh`` could be joined with a state; idle energy is a share of this."""
    metered_kwh: float = 0.0
    """What was used in ``known_us``."""
    known_us: int = 0
    peak_kw: float | None = None
    """Highest value of power."""
    demand_kw: float | None = None
    """Highest mean over an aligned quarter of an hour."""
    executing_kwh: float = 0.0
    executing_us: int = 0
    both_us: int = 0
    """When counter and power are both known; what each says was used then."""
    both_counter_kwh: float = 0.0
    both_power_kwh: float = 0.0
    minutes: tuple[tuple[int, int], ...] = ()
    """Histogram of the minute means outside production: (bin, minutes); see :func:`bin_of`."""


def energy(power: Steps | None, counted: Steps | None, kwh: float | None, states: Steps, period: Period) -> Energy:
    """``power``: kW. ``counted``: the mean kW between two samples of the counter; ``kwh``: what it counted in all.

    Where both are measured, the counter says how much it was and power in which state: a counter's step takes long
    at low power, and one that begins in one state and ends in another would go to the lower one.
    """
    flow = counted if counted is not None else power
    if flow is None:
        return Energy()
    flow = flow.clipped(period.start, period.end)
    shape = (power if power is not None else flow).clipped(period.start, period.end)
    total = kwh if kwh is not None else flow.integral() / 3600
    idle = [code for code in range(UNKNOWN) if code not in (EXECUTING, OFF)]
    running = states.where(EXECUTING)
    outside = when(states, [code for code in range(UNKNOWN) if code != EXECUTING])
    told = states.where_not(UNKNOWN)
    joined = flow.within(told).integral() / 3600
    by_power = shape.within(told).integral() / 3600
    both = flow.known.within(power.known).clipped(period.start, period.end) if counted and power else Intervals.of([])
    split, factor = (shape, joined / by_power) if by_power > 0 else (flow, 1.0)
    return Energy(
        basis="counter" if counted is not None else "power",
        kwh=total,
        idle_kwh=split.within(when(states, idle)).integral() / 3600 * factor,
        joined_kwh=joined,
        metered_kwh=flow.integral() / 3600,
        known_us=flow.known.total,
        peak_kw=float(shape.value.max()) if len(shape) and power is not None else None,
        demand_kw=max(means(shape, period, DEMAND_US).tolist(), default=None),
        executing_kwh=split.within(running).integral() / 3600 * factor,
        executing_us=split.within(running).known.total,
        both_us=both.total,
        both_counter_kwh=flow.within(both).integral() / 3600,
        both_power_kwh=shape.within(both).integral() / 3600,
        minutes=histogram(means(shape.within(outside), period, MINUTE_US)),
    )


def when(states: Steps, codes: list[int]) -> Intervals:
    """When the machine is in one of these states."""
    chosen = np.isin(states.value, codes)
    return Intervals.of(np.stack((states.start[chosen], states.end[chosen]), axis=1))


def counter_flow(time: NDArray[np.int64], kwh: NDArray[np.float64], known: Intervals) -> Steps:
    """Mean kW between the samples of a counter that only grows; not across its falls, nor across gaps."""
    if len(time) < 2:
        return Steps.nothing()
    # A full record that repeats a value says nothing of how the next step was spread, but where a gap ends.
    told = np.append(True, (np.diff(kwh) != 0) | (np.diff(np.searchsorted(known.start, time, side="right")) != 0))
    told[-1] = True
    time, kwh = time[told], kwh[told]
    span = np.diff(time)
    step = np.diff(kwh)
    kept = (span > 0) & (step >= 0)
    start, end = time[:-1][kept], time[1:][kept]
    flow = Steps(start, end, step[kept] * HOUR_US / span[kept])
    whole = _covered(flow, known)
    return Steps(flow.start[whole], flow.end[whole], flow.value[whole])


def _covered(steps: Steps, known: Intervals) -> NDArray[np.bool_]:
    place = np.searchsorted(known.start, steps.start, side="right") - 1
    inside = place >= 0
    if not len(known):
        return inside
    result: NDArray[np.bool_] = inside & (known.end[np.maximum(place, 0)] >= steps.end)
    return result


def means(power: Steps, period: Period, width: int) -> NDArray[np.float64]:
    """Means over aligned stretches of ``width`` us that lie within the period and are known well enough."""
    first = -(-period.start // width)
    count = period.end // width - first
    if count <= 0 or not len(power):
        return np.empty(0)
    grid = np.arange(first, first + count) * width
    pieces = power.within(_cells(grid, width))
    cell = (pieces.start // width - first).astype(np.intp)
    known = np.zeros(count)
    total = np.zeros(count)
    np.add.at(known, cell, pieces.length)
    np.add.at(total, cell, pieces.value * pieces.length)
    enough = known >= KNOWN_SHARE * width
    return total[enough] / known[enough]


def _cells(grid: NDArray[np.int64], width: int) -> Intervals:
    # Touching on purpose: each is a cell of its own, so they are not joined.
    return Intervals(grid, grid + width)


def bin_of(kilowatts: float) -> int:
    """Bin of a histogram: logarithmic, 0 for nothing."""
    return max(round(np.log10(kilowatts) * BINS_A_DECADE) + 6 * BINS_A_DECADE, 1) if kilowatts > 1e-6 else 0


def middle_of(number: int) -> float:
    """kW in the middle of a bin."""
    return float(10 ** ((number - 6 * BINS_A_DECADE) / BINS_A_DECADE)) if number else 0.0


def histogram(values: NDArray[np.float64]) -> tuple[tuple[int, int], ...]:
    """(bin, count), ascending."""
    counts: dict[int, int] = {}
    for value in values.tolist():
        number = bin_of(value)
        counts[number] = counts.get(number, 0) + 1
    return tuple(sorted(counts.items()))


def quantile(bins: tuple[tuple[int, int], ...], share: float) -> float | None:
    """The value below which ``share`` of a histogram lies; None for an empty one."""
    wanted = share * sum(count for _, count in bins)
    passed = 0
    for number, count in bins:
        passed += count
        if passed >= wanted:
            return middle_of(number)
    return None
