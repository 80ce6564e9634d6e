"""What the rules of findings measure: small functions over the sums of a window. Pure.

Each gives numbers by name, of which a rule compares one with its limits and shows all as evidence. A number
that cannot be told is left out, and then no limit on it applies; without any the rule has nothing to judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from agent.digest.equipment.kpi import kpi
from agent.digest.equipment.spec import MachineSpec
from agent.digest.equipment.sums import MachineSums
from agent.digest.rollups import DeviceSums

HOUR_US = 3.6e9
Values = dict[str, float]
ANOMALIES = ("resets", "rollovers", "stuck", "dips", "spikes", "replaced", "unexplained")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineView:
    """A machine over a rule's window; ``week``: over the last seven days, for comparison."""

    spec: MachineSpec
    sums: MachineSums
    week: MachineSums


def view(spec: MachineSpec, sums: MachineSums, week: MachineSums) -> MachineView:
    """The view of a machine."""
    return MachineView(spec=spec, sums=sums, week=week)


def _ratio(machine: MachineView, code: str, name: str, top: str, bottom: str, factor: float = 1.0) -> Values:
    found = kpi(code, machine.sums)
    if found.value is None:
        return {}
    terms = {top: found.numerator, bottom: found.denominator}
    return {name: found.value * factor, **{key: value for key, value in terms.items() if value is not None}}


def idle_energy(machine: MachineView) -> Values:
    """Share of the energy that was used while powered and not executing."""
    return _ratio(machine, "ENPI.IDLE_SHARE", "idle_share", "idle_kwh", "joined_kwh")


def baseload(machine: MachineView) -> Values:
    """P10 of the power outside production ÷ mean power while executing."""
    return _ratio(machine, "ENPI.BASELOAD_RATIO", "baseload_ratio", "baseload_kw", "executing_kw")


def micro_stops(machine: MachineView) -> Values:
    """Time of micro-stops ÷ delay time."""
    sums = machine.sums
    if not sums.adet_us:
        return {}
    counted = {"micro_stops": float(sums.micro_stops), "micro_s": sums.micro_us / 1e6, "adet_s": sums.adet_us / 1e6}
    return {"micro_share": sums.micro_us / sums.adet_us, **counted}


def availability(machine: MachineView) -> Values:
    """APT ÷ PBT, and how long was planned."""
    found = _ratio(machine, "ISO22400.AVAILABILITY", "availability", "apt_s", "known_planned_s")
    return {**found, "planned_h": machine.sums.planned_us / HOUR_US} if found else {}


def between_failures(machine: MachineView) -> Values:
    """MTBF in hours."""
    return _ratio(machine, "ISO22400.MTBF", "mtbf_h", "between_s", "failures", 1 / 3600)


def repairs(machine: MachineView) -> Values:
    """MTTR in minutes."""
    return _ratio(machine, "ISO22400.MTTR", "mttr_min", "repair_s", "failures", 1 / 60)


def effectiveness(machine: MachineView) -> Values:
    """PRI × PQ ÷ APT."""
    return _ratio(machine, "ISO22400.EFFECTIVENESS", "effectiveness", "ideal_s", "apt_s")


def quality_trend(machine: MachineView) -> Values:
    """By how many binomial standard deviations the quality ratio of seven days is below that of 28 days."""
    week, month = machine.week, machine.sums
    if not week.produced or not month.produced or week.good is None or month.good is None:
        return {}
    if {"produced", "good"} & {*month.unexplained}:
        return {}
    usual, now = month.good / month.produced, week.good / week.produced
    spread = math.sqrt(max(usual * (1 - usual), 0.0) / week.produced)
    return {
        "sigmas": (usual - now) / spread if spread else 0.0,
        "quality_week": now,
        "quality_month": usual,
        "produced_week": week.produced,
        "produced_month": month.produced,
    }


def demand(machine: MachineView) -> Values:
    """Load factor, and the highest demand as a share of what the contract allows."""
    found = _ratio(machine, "ENPI.LOAD_FACTOR", "load_factor", "mean_kw", "demand_kw")
    highest = machine.sums.demand_kw if machine.sums.demand_kw is not None else machine.sums.peak_kw
    if machine.spec.contract_kw and highest is not None:
        found |= {"contract_share": highest / machine.spec.contract_kw, "highest_kw": highest}
    return found


def setup(machine: MachineView) -> Values:
    """AUST ÷ AUPT."""
    return _ratio(machine, "ISO22400.SETUP_RATE", "setup_share", "aust_s", "aupt_s")


def anomalies(machine: MachineView) -> Values:
    """What the machine's counters did that counters should not do, but for slight corrections."""
    if machine.sums.produced is None and not machine.sums.energy_basis:
        return {}
    flags = machine.sums.flags
    each = {name: float(flags.get(name, 0)) for name in ANOMALIES}
    return {"anomalies": sum(each.values()), **each}


def sub_meters(machine: MachineView) -> Values:
    """A main meter and its sub-meters: by what share of the main meter they are above it, and, where there is said
    to be no other load, below it. What they leave is else a load without a meter: shown, and no fault."""
    main, subs = machine.sums.compared_kwh, machine.sums.sub_kwh
    larger = max(main, subs)
    if not machine.sums.compared_us or larger <= 0:
        return {}
    rest = (main - subs) / (main if main > 0 else larger)
    counted = {
        "main_kwh": main,
        "sub_kwh": subs,
        "larger_kwh": larger,
        "compared_h": machine.sums.compared_us / HOUR_US,
    }
    return {
        "excess_share": -rest,
        "missing_share" if machine.spec.sub_meters_complete else "unmetered_share": rest,
    } | counted


def energy_against_power(machine: MachineView) -> Values:
    """By what share of the larger the energy counter and the integrated power of a machine differ, while both were
    known; a step of the counter is no difference, for what is used for it may lie on either side of a border."""
    sums = machine.sums
    counter, power = sums.both_counter_kwh, sums.both_power_kwh
    larger = max(counter, power)
    if not sums.both_us or larger <= 0:
        return {}
    return {
        "difference_share": max(abs(counter - power) - (sums.tick_kwh or 0.0), 0.0) / larger,
        "counter_kwh": counter,
        "power_kwh": power,
        "larger_kwh": larger,
        "both_h": sums.both_us / HOUR_US,
    }


OF_MACHINES: dict[str, Callable[[MachineView], Values]] = {
    "idle_energy": idle_energy,
    "off_shift_baseload": baseload,
    "micro_stops": micro_stops,
    "low_availability": availability,
    "short_mtbf": between_failures,
    "long_repair": repairs,
    "speed_loss": effectiveness,
    "quality_trend": quality_trend,
    "demand_peak": demand,
    "setup_burden": setup,
    "counter_anomaly": anomalies,
    "sub_meters": sub_meters,
    "energy_against_power": energy_against_power,
}
"""By what a rule measures."""


def evidence_gap(device: DeviceSums) -> Values:
    """Good ÷ expected samples."""
    if not device.expected:
        return {}
    counted = {"good": float(device.good), "expected": float(device.expected)}
    return {"good_share": device.good / device.expected, **counted}


def unstable_link(device: DeviceSums) -> Values:
    """Disconnects of the day, and the share of samples that timed out."""
    if not device.expected:
        return {}
    share = device.timeouts / device.expected
    return {"disconnects": float(device.disconnects), "timeout_share": share, "timeouts": float(device.timeouts)}


OF_DEVICES: dict[str, Callable[[DeviceSums], Values]] = {"evidence_gap": evidence_gap, "unstable_link": unstable_link}


def coverage_of(sums: MachineSums, known_by: str) -> float | None:
    """Share of the window's time of which what a rule needs is known; None: there is no such time."""
    if known_by == "energy":
        return sums.energy_known_us / sums.span_us if sums.span_us else None
    if sums.calendar:
        return 1 - sums.unknown_us / sums.planned_us if sums.planned_us else None
    return 1 - sums.states.get("unknown", 0) / sums.span_us if sums.span_us else None
