"""One machine and period: from its tracks to its sums. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from agent.digest.equipment.counts import Counted, from_counter, from_pulses, from_state, in_planned_time
from agent.digest.equipment.energy import Energy, counter_flow, energy
from agent.digest.equipment.spec import Input, MachineSpec
from agent.digest.equipment.states import EXECUTING, UNKNOWN, StateRule, last_told, seconds_by_state, states_of
from agent.digest.equipment.steps import Intervals, Steps
from agent.digest.equipment.submeters import compared, unrolled
from agent.digest.equipment.sums import MachineSums
from agent.digest.equipment.times import Carry, Stop, TimeModel, time_model
from agent.digest.equipment.tracks import Track, Tracks
from agent.digest.windows import Period

_STILL_CYCLES = 3
"""Ideal cycles of executing after which a counter of pieces that has not moved is stuck."""
KWH_DECIMALS = 6
"""What is kept is what is told, so that the sums of a day are those of its digests to the last digit."""
_ANOMALIES = ("resets", "rollovers", "decrements")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """``carry``: what is open at the end. ``stops``: the longest of those that ended. ``states``: the time line."""

    sums: MachineSums
    carry: Carry
    stops: tuple[Stop, ...]
    states: Steps


def measure_all(
    machines: Sequence[MachineSpec], tracks: Tracks, period: Period, carries: Mapping[str, Carry]
) -> dict[str, Measured]:
    """Every machine, by name; main meters against their sub-meters as well."""
    named = {each.name: each for each in machines}
    result = {each.name: measure(each, tracks, period, carries.get(each.name, Carry())) for each in machines}
    for main in machines:
        if main.sub_meters:
            found = compared(main, [named[name] for name in main.sub_meters], tracks, period)
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
    held = {name: _held(each, tracks.of(each.row), period, carry) for name, each in machine.counts.items()}
    counted = {name: _count(each, held[name], period) for name, each in machine.counts.items()}
    if "produced" not in counted and machine.cycle_state is not None:
        counted["produced"] = from_state(states, machine.cycle_state, period.start)
    meter = _held(machine.energy, tracks.of(machine.energy.row), period, carry) if machine.energy else None
    used, energy_count = _energy(machine, tracks, meter, states, period)
    still = _still(counted, states, carry)
    sums = _sums(machine, period, states, planned, times, counted, used, energy_count, still)
    every = [(each, held[name]) for name, each in machine.counts.items()]
    if machine.energy and meter:
        every.append((machine.energy, meter))
    after = replace(
        after,
        counters={each.key: float(track.value[track.good][-1]) for each, track in every if track.good.any()},
        still_us=still,
        power_state=last_told(states, carry.power_state) if rule.power else UNKNOWN,
    )
    return Measured(sums=sums, carry=after, stops=times.listed, states=states)


def _held(each: Input, track: Track, period: Period, carry: Carry) -> Track:
    """The track of a counter from its last good value on, however long ago that was."""
    good = track.good & np.isfinite(track.value)
    track = Track(track.time, track.value, good, track.known)
    last = carry.counters.get(each.key)
    if each.kind != "counter" or last is None or (track.time[good] < period.start).any():
        return track
    return Track(
        np.insert(track.time, 0, min([period.start - 1, *track.time[:1].tolist()])),
        np.insert(track.value, 0, last),
        np.insert(good, 0, True),
        track.known,
    )


def _count(each: Input, track: Track, period: Period) -> Counted:
    if each.kind == "pulse":
        return from_pulses(track.steps(), period.start)
    return from_counter(
        track.time, track.value, track.good, period.start, tops=each.tops, declared=each.declared, known=track.known
    )


def _energy(
    machine: MachineSpec, tracks: Tracks, track: Track | None, states: Steps, period: Period
) -> tuple[Energy, Counted | None]:
    """``track``: of the energy counter."""
    power = tracks.of(machine.power.row).steps(machine.power.factor) if machine.power else None
    if machine.energy is None or track is None:
        return energy(power, None, None, states, period), None
    counted = _count(machine.energy, track, period)
    if not counted.known:
        return energy(power, None, None, states, period), counted
    grown = unrolled(track, machine.energy)[track.good]
    # A step that is seen in the period is of the period, as in the count: not partly of the time before it.
    time = np.maximum(track.time[track.good], period.start)
    flow = counter_flow(time, grown * machine.energy.factor, track.known)
    return energy(power, flow, counted.count * machine.energy.factor, states, period), counted


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
    flags = {name: sum(getattr(each, name) for each in every) for name in _ANOMALIES}
    flags["stuck"] = _stuck(counted, times, still_us, cycle)
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
        energy_basis=used.basis,
        kwh=round(used.kwh, KWH_DECIMALS),
        idle_kwh=round(used.idle_kwh, KWH_DECIMALS),
        joined_kwh=round(used.joined_kwh, KWH_DECIMALS),
        metered_kwh=round(used.metered_kwh, KWH_DECIMALS),
        energy_known_us=used.known_us,
        executing_kwh=round(used.executing_kwh, KWH_DECIMALS),
        executing_power_us=used.executing_us,
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
