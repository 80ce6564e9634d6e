"""What is kept of one machine and period: sums only, so that any number of periods add up exactly. Pure.

Seconds, pieces and kWh; ratios are made from them at the end (:mod:`.kpi`), never averaged.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agent.digest.equipment.states import STATES

ENERGY = "energy"
"""Among what is ``unexplained``, beside the names of pieces."""


class MachineSums(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds (``*_us``), pieces, kWh, and counts of events. None: not configured.

    ``planned_us``: planned busy time. ``unknown_us``: of it, without data. ``calendar``: whether there is one:
    without it the elements cover all time and ``planned_us`` is 0. ``ideal_us``: planned run time (PRI × PQ) of the
    pieces made in planned time that is known, as ``apt_us`` is. ``metered_kwh``: used in ``energy_known_us``, whatever
    the state. ``flags``: counter anomalies by kind. ``unexplained``: steps of counters of which nobody knows whether
    they were counted, by what was counted: then how much it was is not known. ``key_process``: as configured.
    ``compared_kwh``: of a main meter, while it and all its sub-meters were known (``compared_us``), and ``sub_kwh`` of
    these together. ``both_us``: when the energy counter and power, of which each says what was used, are both known;
    ``tick_kwh``: the counter's largest step.
    """

    key_process: bool = False
    span_us: int = 0
    states: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(STATES, 0))
    calendar: bool = False
    planned_us: int = 0
    unknown_us: int = 0
    apt_us: int = 0
    aust_us: int = 0
    adet_us: int = 0
    adot_us: int = 0
    stops: int = 0
    stop_us: int = 0
    micro_stops: int = 0
    micro_us: int = 0
    longest_stop_us: int = 0
    failures: int = 0
    repair_us: int = 0
    between_us: int = 0
    produced: float | None = None
    good: float | None = None
    scrap: float | None = None
    rework: float | None = None
    ideal_us: float | None = None
    flags: dict[str, int] = {}
    unexplained: dict[str, int] = {}
    energy_basis: str = ""
    kwh: float = 0.0
    idle_kwh: float = 0.0
    joined_kwh: float = 0.0
    metered_kwh: float = 0.0
    energy_known_us: int = 0
    executing_kwh: float = 0.0
    executing_power_us: int = 0
    peak_kw: float | None = None
    demand_kw: float | None = None
    minutes: tuple[tuple[int, int], ...] = ()
    compared_us: int = 0
    compared_kwh: float = 0.0
    sub_kwh: float = 0.0
    both_us: int = 0
    both_counter_kwh: float = 0.0
    both_power_kwh: float = 0.0
    tick_kwh: float | None = None


_LARGEST = ("longest_stop_us", "peak_kw", "demand_kw", "tick_kwh")
_KEPT = ("key_process", "calendar", "energy_basis")
_PLAIN = tuple(
    name for name, kind in MachineSums.__annotations__.items() if kind in ("int", "float") and name not in _LARGEST
)
_OTHERS = tuple(name for name in MachineSums.__annotations__ if name not in _PLAIN)


def add(one: MachineSums, two: MachineSums) -> MachineSums:
    """Two periods as one."""
    # Done for every machine and day of four weeks at the end of each period.
    plain: dict[str, Any] = {name: getattr(one, name) + getattr(two, name) for name in _PLAIN}
    return MachineSums(**plain, **{name: _join(name, getattr(one, name), getattr(two, name)) for name in _OTHERS})


def _join(name: str, one: Any, two: Any) -> Any:
    if name in _KEPT:
        return one or two
    if one is None or two is None:
        return two if one is None else one
    if name in _LARGEST:
        return max(one, two)
    if isinstance(one, dict) and isinstance(two, dict):
        return {key: one.get(key, 0) + two.get(key, 0) for key in sorted({*one, *two})}
    if isinstance(one, tuple) and isinstance(two, tuple):
        counts: dict[int, int] = {}
        for number, count in (*one, *two):
            counts[number] = counts.get(number, 0) + count
        return tuple(sorted(counts.items()))
    return one + two
