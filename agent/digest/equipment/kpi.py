"""Key performance indicators of ISO 22400-2 and energy indicators, from sums. Pure.

Each says its numerator and denominator; one that cannot be told is null with the reason. Nothing is clamped:
an effectiveness above 1 means that the cycle time is wrong, and must be seen. Time without data is in no
denominator: it lowers the coverage instead (our own proposal).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.digest.equipment.energy import quantile
from agent.digest.equipment.sums import ENERGY, MachineSums

NO_CALENDAR = "no calendar: planned busy time is not known"
NO_CYCLE = "no ideal_cycle: planned run time per item is not known"
NO_PRODUCED = "pieces are not counted"
NO_GOOD = "good pieces are not counted"
NO_STATE = "no state is known"
NO_FAILURE = "no failure"
NOTHING = "the denominator is 0"
NO_ENERGY = "energy is not measured"
UNEXPLAINED = "unexplained_step"
"""A counter made a step of which nobody knows whether it was counted."""


@dataclass(frozen=True, slots=True)
class Kpi:
    """``value`` = ``numerator`` ÷ ``denominator``, or None with a ``reason``."""

    code: str
    value: float | None
    unit: str
    numerator: float | None
    denominator: float | None
    reason: str = ""


def kpis(sums: MachineSums) -> tuple[Kpi, ...]:
    """All of them, in a fixed order."""
    return tuple(kpi(code, sums) for code in (*_RATIOS, *PRODUCTS))


def kpi(code: str, sums: MachineSums) -> Kpi:
    """One of them. Raises KeyError for a code that is none."""
    if code in PRODUCTS:
        return _product(code, [kpi(each, sums) for each in PRODUCTS[code]])
    unit, terms = _RATIOS[code]
    return _ratio(code, unit, terms(sums))


Terms = tuple[float | None, float | None, str]
"""Numerator, denominator, and the reason where one of them is not known."""


def _ratio(code: str, unit: str, terms: Terms) -> Kpi:
    numerator, denominator, reason = terms
    if reason or numerator is None or denominator is None:
        return Kpi(code, None, unit, numerator, denominator, reason)
    if not denominator:
        return Kpi(code, None, unit, numerator, denominator, NOTHING)
    return Kpi(code, numerator / denominator, unit, numerator, denominator)


def _product(code: str, factors: list[Kpi]) -> Kpi:
    value = 1.0
    for factor in factors:
        if factor.value is None:
            return Kpi(code, None, "1", None, None, f"{factor.code}: {factor.reason}")
        value *= factor.value
    return Kpi(code, value, "1", None, None)


def _seconds(microseconds: float) -> float:
    return microseconds / 1e6


def _known_plan(sums: MachineSums) -> float:
    return _seconds(sums.planned_us - sums.unknown_us)


def _planned(part: Callable[[MachineSums], float]) -> Callable[[MachineSums], Terms]:
    def terms(sums: MachineSums) -> Terms:
        if not sums.calendar:
            return None, None, NO_CALENDAR
        if sums.planned_us and not _known_plan(sums):
            return _seconds(part(sums)), 0.0, NO_STATE
        return _seconds(part(sums)), _known_plan(sums), ""

    return terms


def _of(top: Callable[[MachineSums], float], bottom: Callable[[MachineSums], float]) -> Callable[[MachineSums], Terms]:
    return lambda sums: (_seconds(top(sums)), _seconds(bottom(sums)), "" if sums.calendar else NO_CALENDAR)


def _effectiveness(sums: MachineSums) -> Terms:
    if sums.produced is None:
        return None, None, NO_PRODUCED
    if "produced" in sums.unexplained:
        return None, None, UNEXPLAINED
    if sums.ideal_us is None:
        return None, None, NO_CYCLE
    return _seconds(sums.ideal_us), _seconds(sums.apt_us), ""


def _pieces(name: str) -> Callable[[MachineSums], Terms]:
    def terms(sums: MachineSums) -> Terms:
        part = getattr(sums, name)
        if sums.produced is None:
            return None, None, NO_PRODUCED
        if {name, "produced"} & {*sums.unexplained}:
            return None, None, UNEXPLAINED
        return part, sums.produced, "" if part is not None else NO_GOOD if name == "good" else f"{name} is not counted"

    return terms


def _per_failure(part: Callable[[MachineSums], float]) -> Callable[[MachineSums], Terms]:
    return lambda sums: (_seconds(part(sums)), float(sums.failures), "" if sums.failures else NO_FAILURE)


def _energy(
    top: Callable[[MachineSums], float], bottom: Callable[[MachineSums], float]
) -> Callable[[MachineSums], Terms]:
    return lambda sums: (top(sums), bottom(sums), "" if sums.energy_basis else NO_ENERGY)


def _specific(sums: MachineSums) -> Terms:
    if not sums.energy_basis:
        return None, None, NO_ENERGY
    if {ENERGY, "good"} & {*sums.unexplained}:
        return None, None, UNEXPLAINED
    return sums.kwh, sums.good, "" if sums.good is not None else NO_GOOD


def known_kwh(sums: MachineSums) -> float | None:
    """None where nobody knows how much it was."""
    return None if ENERGY in sums.unexplained else sums.kwh


def baseload_kw(sums: MachineSums) -> float | None:
    """What a tenth of the minutes outside production stay below."""
    return quantile(sums.minutes, 0.1)


def executing_kw(sums: MachineSums) -> float | None:
    """Mean while executing."""
    hours = sums.executing_power_us / 3.6e9
    return sums.executing_kwh / hours if hours else None


def _baseload(sums: MachineSums) -> Terms:
    p10, mean = baseload_kw(sums), executing_kw(sums)
    reason = (
        NO_ENERGY if not sums.energy_basis else "" if p10 is not None and mean else "no power on both sides is known"
    )
    return p10, mean, reason


def mean_kw(sums: MachineSums) -> float | None:
    """Over all the time in which the energy is known."""
    hours = sums.energy_known_us / 3.6e9
    return sums.metered_kwh / hours if hours else None


def _load(sums: MachineSums) -> Terms:
    reason = NO_ENERGY if not sums.energy_basis else "" if sums.demand_kw else "no whole quarter of an hour is known"
    return mean_kw(sums), sums.demand_kw, reason


_RATIOS: dict[str, tuple[str, Callable[[MachineSums], Terms]]] = {
    "ISO22400.AVAILABILITY": ("1", _planned(lambda s: s.apt_us)),
    "ISO22400.EFFECTIVENESS": ("1", _effectiveness),
    "ISO22400.QUALITY_RATIO": ("1", _pieces("good")),
    "ISO22400.NEE_AVAILABILITY": ("1", _planned(lambda s: s.apt_us + s.aust_us)),
    "ISO22400.UTILIZATION_EFFICIENCY": ("1", _of(lambda s: s.apt_us, lambda s: s.apt_us + s.aust_us + s.adet_us)),
    "ISO22400.ALLOCATION_RATIO": ("1", lambda sums: (None, None, "order execution time is not known to a gateway")),
    "ISO22400.TECHNICAL_EFFICIENCY": ("1", _of(lambda s: s.apt_us, lambda s: s.apt_us + s.adet_us)),
    "ISO22400.SETUP_RATE": ("1", _of(lambda s: s.aust_us, lambda s: s.apt_us + s.aust_us)),
    "ISO22400.SCRAP_RATIO": ("1", _pieces("scrap")),
    "ISO22400.REWORK_RATIO": ("1", _pieces("rework")),
    "ISO22400.MTBF": ("s", _per_failure(lambda s: s.between_us)),
    "ISO22400.MTTR": ("s", _per_failure(lambda s: s.repair_us)),
    "ENPI.SEC": ("kWh", _specific),
    "ENPI.IDLE_SHARE": ("1", _energy(lambda s: s.idle_kwh, lambda s: s.joined_kwh)),
    "ENPI.BASELOAD_RATIO": ("1", _baseload),
    "ENPI.LOAD_FACTOR": ("1", _load),
}
PRODUCTS = {
    "ISO22400.OEE": ("ISO22400.AVAILABILITY", "ISO22400.EFFECTIVENESS", "ISO22400.QUALITY_RATIO"),
    "ISO22400.NEE": ("ISO22400.NEE_AVAILABILITY", "ISO22400.EFFECTIVENESS", "ISO22400.QUALITY_RATIO"),
}
"""Products of others, and their factors."""
