"""From a machine's sums to its line of the digest. Pure; what must not leave the plant stops here."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from agent.digest.equipment.kpi import UNEXPLAINED, Kpi, baseload_kw, executing_kw, known_kwh, kpis, mean_kw
from agent.digest.equipment.spec import MachineSpec
from agent.digest.equipment.states import STATES
from agent.digest.equipment.sums import ENERGY, MachineSums
from agent.digest.report import (
    EnergyUse,
    EquipmentLine,
    Failures,
    KpiLine,
    Pieces,
    Stops,
    SubMeters,
    TimeElements,
    amount,
    figure,
    number,
    seconds,
)


def line(machine: MachineSpec, sums: MachineSums) -> EquipmentLine:
    """The line of one machine, as its tags' sensitivity allows."""
    if machine.refusal:
        return EquipmentLine(name=machine.name, key_process=machine.key_process, withheld=machine.refusal)
    unknown = sums.states.get("unknown", 0)
    return EquipmentLine(
        name=machine.name,
        key_process=machine.key_process,
        known=figure(1 - unknown / sums.span_us) if sums.span_us else None,
        states={state: seconds(sums.states.get(state, 0)) for state in STATES},
        times=_times(sums),
        stops=Stops(
            count=sums.stops,
            seconds=seconds(sums.stop_us),
            micro_count=sums.micro_stops,
            micro_seconds=seconds(sums.micro_us),
            longest_s=seconds(sums.longest_stop_us),
        ),
        failures=Failures(count=sums.failures, repair_s=seconds(sums.repair_us), between_s=seconds(sums.between_us)),
        pieces=_pieces(sums),
        energy=_energy(sums),
        kpis={each.code: _kpi(each) for each in kpis(sums)},
    )


def _pieces(sums: MachineSums) -> Pieces:
    ideal = sums.ideal_us / 1e6 if sums.ideal_us is not None else None
    unknown = [name for name in sums.unexplained if name != ENERGY]
    unknown += ["ideal_s"] if "produced" in unknown and ideal is not None else []

    def told(name: str, value: float | None) -> float | None:
        return None if name in unknown else number(value)

    return Pieces(
        produced=told("produced", sums.produced),
        good=told("good", sums.good),
        scrap=told("scrap", sums.scrap),
        rework=told("rework", sums.rework),
        ideal_s=None if "ideal_s" in unknown else amount(ideal),
        anomalies=sums.flags,
        reasons=dict.fromkeys(unknown, UNEXPLAINED) or UNSET,
    )


def _times(sums: MachineSums) -> TimeElements:
    return TimeElements(
        pbt_s=seconds(sums.planned_us) if sums.calendar else None,
        apt_s=seconds(sums.apt_us),
        aust_s=seconds(sums.aust_us),
        adet_s=seconds(sums.adet_us),
        adot_s=seconds(sums.adot_us),
        unknown_s=seconds(sums.unknown_us),
    )


def _energy(sums: MachineSums) -> EnergyUse | None:
    if sums.energy_basis not in ("counter", "power"):
        return None
    return EnergyUse(
        basis="counter" if sums.energy_basis == "counter" else "power",
        kwh=amount(known_kwh(sums)),
        idle_kwh=amount(sums.idle_kwh),
        joined_kwh=amount(sums.joined_kwh),
        known_s=seconds(sums.energy_known_us),
        peak_kw=figure(sums.peak_kw),
        demand_kw=figure(sums.demand_kw),
        mean_kw=figure(mean_kw(sums)),
        executing_kw=figure(executing_kw(sums)),
        baseload_kw=figure(baseload_kw(sums)),
        sub_meters=_sub_meters(sums),
        reason=UNEXPLAINED if ENERGY in sums.unexplained else UNSET,
    )


def _sub_meters(sums: MachineSums) -> SubMeters | UnsetType:
    if not sums.compared_us:
        return UNSET
    return SubMeters(
        known_s=seconds(sums.compared_us), main_kwh=amount(sums.compared_kwh), sub_kwh=amount(sums.sub_kwh)
    )


def _kpi(kpi: Kpi) -> KpiLine:
    return KpiLine(
        value=figure(kpi.value),
        unit=kpi.unit,
        reason=kpi.reason or UNSET,
    )
