"""One machine and period: from its tracks to its sums. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from agent.digest.counters import KINDS, Path
from agent.digest.equipment.counts import Counted, from_counter, from_pulses, from_state, in_planned_time
from agent.digest.equipment.energy import Energy, counter_flow, energy
from agent.digest.equipment.spec import Input, MachineSpec
from agent.digest.equipment.states import EXECUTING, UNKNOWN, StateRule, last_told, seconds_by_state, states_of
from agent.digest.equipment.steps import Intervals, Steps
from agent.digest.equipment.submeters import compared
from agent.digest.equipment.sums import ENERGY, MachineSums
from agent.digest.equipment.times import Carry, Stop, TimeModel, time_model
from agent.digest.equipment.tracks import Track, Tracks
from agent.digest.windows import Period

_STILL_CYCLES = 3
"""Ideal cycles of executing after which a counter of pieces that has not moved is stuck."""
KWH_DECIMALS = 6
"""What is kept is what is told, so that the sums of a day are those of its digests to the last digit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """``carry``: what is open at the end. ``stops``: the longest of those that ended. ``states``: the time line.
    ``meter``: what the energy counter counted."""

    sums: MachineSums
    carry: Carry
    stops: tuple[Stop, ...]
    states: Steps
    meter: Counted | None = None


def measure_all(
    machines: Sequence[MachineSpec], tracks: Tracks, period: Period, carries: Mapping[str, Carry]
) -> dict[str, Measured]:
    """Every machine, by name; main meters against their sub-meters as well."""
    named = {each.name: each for each in machines}
    result = {each.name: measure(each, tracks, period, carries.get(each.name, Carry())) for each in machines}
    meters = {name: each.meter for name, each in result.items() if each.meter is not None}
    for main in machines:
        if main.sub_meters:
            found = compared(main, [named[name] for name in main.sub_meters], meters, tracks, period)
            sums = msgspec.structs.replace(
                result[main.name].sums,
                compared_us=found.known_us,
                compared_kwh=round(found.main_kwh, KWH_DECIMALS),
                sub_kwh=round(found.sub_kwh, KWH_DECIMALS),
            )
            result[main.name] = replace(result[main.name], sums=sums)
    return result


def measure(machine: MachineSpec, tracks: Tracks, period: Period, carry: Carry) -> Measured:
    """``carry``: what was open when the period before ended."""
    rule = machine.rule or StateRule()
    inputs = [tracks.of(each.row).steps(each.factor) for each in machine.state] or [Steps.nothing()]
    states = states_of(rule, inputs, period, carry.power_state)
    planned = machine.calendar.planned(period) if machine.calendar else None
    times, after = time_model(states, planned, carry, micro_stop_us=machine.micro_stop_us)
    counted = {name: _count(each, tracks.of(each.row), period, carry) for name, each in machine.counts.items()}
    if "produced" not in counted and machine.cycle_state is not None:
        counted["produced"] = from_state(states, machine.cycle_state, period.start)
    meter = _count(machine.energy, tracks.of(machine.energy.row), period, carry) if machine.energy else None
    used = _energy(machine, tracks, meter, states, period)
    still = _still(counted, states, carry)
    sums = _sums(machine, period, states, planned, times, counted, used, meter, still)
    every = [(each, counted[name]) for name, each in machine.counts.items()]
    if machine.energy and meter:
        every.append((machine.energy, meter))
    after = replace(
        after,
        counters={},
        paths={each.key: found.path for each, found in every if found.path is not None},
        still_us=still,
        power_state=last_told(states, carry.power_state) if rule.power else UNKNOWN,
    )
    return Measured(sums=sums, carry=after, stops=times.listed, states=states, meter=meter)


def _count(each: Input, track: Track, period: Period, carry: Carry) -> Counted:
    if each.kind == "pulse" or each.rules is None:
        return from_pulses(track.steps(), period.start)
    before, last = carry.paths.get(each.key), carry.counters.get(each.key)
    if before is None and last is not None and not (track.time[track.good] < period.start).any():
        before = Path.at(last, period.start)
    return from_counter(each.rules, track, period, before)


def _energy(machine: MachineSpec, tracks: Tracks, counted: Counted | None, states: Steps, period: Period) -> Energy:
    """``counted``: by the energy counter."""
    power = tracks.of(machine.power.row).steps(machine.power.factor) if machine.power else None
    if machine.energy is None or counted is None or not counted.known:
        return energy(power, None, None, states, period)
    # A step that is seen in the period is of the period, as in the count: not partly of the time before it.
    time, factor = np.maximum(counted.time, period.start), machine.energy.factor
    flow = counter_flow(time, counted.total * factor, tracks.of(machine.energy.row).known)
    return energy(power, flow, counted.count * factor, states, period)


def _sums(
    machine: MachineSpec,
    period: Period,
    states: Steps,
    planned: Intervals | None,
    times: TimeModel,
    counted: Mapping[str, Counted],
    used: Energy,
    energy_count: Counted | None,
    still_us: int,
) -> MachineSums:
    pieces = {name: each.count if each.known else None for name, each in counted.items()}
    produced = pieces.get("produced")
    cycle = machine.ideal_cycle_us
    every = [*counted.values(), *([energy_count] if energy_count else [])]
    flags = {name: sum(each.told.get(name, 0) for each in every) for name in (*KINDS, "undecided")}
    flags["stuck"] = _stuck(counted, times, still_us, cycle)
    # What is given in kVA is more than what is used.
    certain = (
        energy_count is not None and energy_count.certain and machine.power is not None and not machine.power.apparent
    )
    tick = (
        round(float(energy_count.step.max()) * machine.energy.factor, KWH_DECIMALS)
        if certain and energy_count and machine.energy and len(energy_count.step)
        else None
    )
    return MachineSums(
        key_process=machine.key_process,
        span_us=period.length,
        states=seconds_by_state(states),
        calendar=times.pbt is not None,
        planned_us=times.pbt or 0,
        unknown_us=times.unknown,
        apt_us=times.apt,
        aust_us=times.aust,
        adet_us=times.adet,
        adot_us=times.adot,
        stops=times.stops,
        stop_us=times.stop_us,
        micro_stops=times.micro_stops,
        micro_us=times.micro_us,
        longest_stop_us=times.longest_stop_us,
        failures=times.failures,
        repair_us=times.repair_us,
        between_us=times.between_us,
        produced=produced,
        good=pieces.get("good"),
        scrap=pieces.get("scrap"),
        rework=pieces.get("rework"),
        ideal_us=None
        if cycle is None or produced is None
        else float(round(cycle * in_planned_time(counted["produced"], states, planned))),
        flags={name: count for name, count in flags.items() if count},
        unexplained={
            name: each.told["unexplained"]
            for name, each in (*counted.items(), *([(ENERGY, energy_count)] if energy_count else []))
            if not each.certain
        },
        energy_basis=used.basis,
        kwh=round(used.kwh, KWH_DECIMALS),
        idle_kwh=round(used.idle_kwh, KWH_DECIMALS),
        joined_kwh=round(used.joined_kwh, KWH_DECIMALS),
        metered_kwh=round(used.metered_kwh, KWH_DECIMALS),
        energy_known_us=used.known_us,
        executing_kwh=round(used.executing_kwh, KWH_DECIMALS),
        executing_power_us=used.executing_us,
        both_us=used.both_us if certain else 0,
        both_counter_kwh=round(used.both_counter_kwh, KWH_DECIMALS) if certain else 0.0,
        both_power_kwh=round(used.both_power_kwh, KWH_DECIMALS) if certain else 0.0,
        tick_kwh=tick,
        peak_kw=used.peak_kw,
        demand_kw=used.demand_kw,
        minutes=used.minutes,
    )


def _still(counted: Mapping[str, Counted], states: Steps, carry: Carry) -> int:
    """For how long the machine has been executing since the counter of pieces moved."""
    running = states.where(EXECUTING)
    moved = counted["produced"].seen[-1:].tolist() if "produced" in counted else []
    if moved:
        return running.clipped(moved[0], int(states.end[-1])).total
    return carry.still_us + running.total


def _stuck(counted: Mapping[str, Counted], times: TimeModel, still_us: int, cycle_us: int | None) -> int:
    """Counters of pieces that did not move although the machine was executing nearly all the time, and that for
    longer than a few pieces take."""
    produced = counted.get("produced")
    whole = times.apt + times.aust + times.adet + times.adot
    busy = times.apt > 0.9 * whole > 0 and still_us > _STILL_CYCLES * (cycle_us or 0)
    return int(produced is not None and produced.known and produced.stuck and busy)
