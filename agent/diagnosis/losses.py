"""Where planned time went: the OEE waterfall, and the Pareto of what stopped the machines. Pure.

The steps of a waterfall add up to its planned busy time exactly: nothing is clamped, so a machine that is faster
than its ideal cycle shows a speed *gain*, and time without data is a step of its own, never a loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from agent.digest.equipment.kpi import NO_CALENDAR, NO_CYCLE, NO_GOOD, NO_PRODUCED, UNEXPLAINED
from agent.digest.equipment.sums import MachineSums

CAUSES = ("fault", "standby", "setup", "idle_plan")
"""Of lost planned time; ``idle_plan``: maintenance, or switched off, while production was planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """Microseconds. ``planned_us`` = ``unknown_us`` + ``lost_us`` (by cause) + ``executing_us``, and
    ``executing_us`` = ``speed_us`` + ``quality_us`` + ``effective_us``. ``speed_us`` below 0: faster than the
    ideal cycle. ``reason``: why the last three are None."""

    planned_us: float
    unknown_us: float
    lost_us: Mapping[str, float]
    executing_us: float
    speed_us: float | None = None
    quality_us: float | None = None
    effective_us: float | None = None
    reason: str = ""

    @property
    def wasted_us(self) -> float:
        """Planned and known time that was not effective, as far as can be told."""
        gone = sum(self.lost_us.values())
        return gone + (self.speed_us or 0.0) + (self.quality_us or 0.0)


@dataclass(frozen=True, slots=True)
class OpenFaults:
    """Planned time of a failure that was open when the span began, and when it ended (microseconds)."""

    before_us: int = 0
    after_us: int = 0


def lost(sums: MachineSums, faults: OpenFaults | None = None) -> dict[str, float]:
    """Planned time lost, by cause; it adds up to delay, setup and down time.

    A failure's time is booked where it ends, so what was open at the borders of the span is put right.
    """
    faults = faults or OpenFaults()
    fault = min(max(sums.repair_us + faults.after_us - faults.before_us, 0), sums.adet_us)
    return {
        "fault": float(fault),
        "standby": float(sums.adet_us - fault),
        "setup": float(sums.aust_us),
        "idle_plan": float(sums.adot_us),
    }


def waterfall(sums: MachineSums, faults: OpenFaults | None = None) -> Waterfall | str:
    """From planned busy time to effective time; or the reason why there is none."""
    if not sums.calendar:
        return NO_CALENDAR
    apt = float(sums.apt_us)
    plain = Waterfall(
        planned_us=float(sums.planned_us),
        unknown_us=float(sums.unknown_us),
        lost_us=lost(sums, faults),
        executing_us=apt,
    )
    if sums.produced is None or sums.ideal_us is None:
        return replace(plain, reason=NO_PRODUCED if sums.produced is None else NO_CYCLE)
    if "produced" in sums.unexplained:
        return replace(plain, reason=UNEXPLAINED)
    speed = apt - sums.ideal_us
    if sums.good is None or "good" in sums.unexplained:
        return replace(plain, speed_us=speed, reason=NO_GOOD if sums.good is None else UNEXPLAINED)
    bad = sums.ideal_us * (1 - sums.good / sums.produced) if sums.produced else 0.0
    return replace(plain, speed_us=speed, quality_us=bad, effective_us=apt - speed - bad)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the Pareto: ``count`` where events are counted; ``running``: share of all up to and with this one."""

    machine: str
    cause: str
    lost_us: float
    count: int | None
    share: float
    running: float


def pareto(machines: Iterable[tuple[str, MachineSums, Mapping[str, float]]]) -> tuple[Bar, ...]:
    """All (name, sums, :func:`lost`) as bars, the longest first; they add up to the time lost in all."""
    found = [
        (name, cause, microseconds, sums.failures if cause == "fault" else None)
        for name, sums, spent in machines
        for cause, microseconds in spent.items()
        if microseconds > 0
    ]
    found.sort(key=lambda each: (-each[2], each[0], each[1]))
    total = sum(each[2] for each in found)
    bars: list[Bar] = []
    running = 0.0
    for name, cause, microseconds, count in found:
        running += microseconds
        bars.append(Bar(name, cause, microseconds, count, microseconds / total, running / total))
    return tuple(bars)
