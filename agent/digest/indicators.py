"""Indicators of the plant: evidence for diagnosis schemes, never a score or a level. Pure.

Which there are, what each is made of, its bins and the standard it follows are data (:mod:`.tables`).
An indicator of machines is made from the sums of those machines that have what it needs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET

from agent.config.digest_tables import BaselineRule, Row
from agent.config.model import EnterpriseSection
from agent.digest.baseline import baseline
from agent.digest.equipment.kpi import NO_FAILURE, NO_STATE, NOTHING, PRODUCTS, Kpi, kpi
from agent.digest.equipment.spec import MachineSpec
from agent.digest.equipment.sums import MachineSums, add
from agent.digest.report import BaselineFit, IndicatorLine, amount, figure
from agent.digest.rollups import ClosedDay, Sums
from agent.digest.spec import DigestSpec

NOT_DECLARED = "not declared in [enterprise] inventory"
NO_MACHINE = "no machine is configured, or none whose figures may leave the plant"
NO_KEY_MACHINE = "no machine is configured with key_process = true"
NO_KEY_INVENTORY = "no key_processes are declared in [enterprise] inventory"
NO_BASELINE = "no machine, whose figures may leave the plant, has both its energy and its pieces measured"
ABOVE_ONE = "above 1: correct [enterprise] inventory"


def indicators(
    spec: DigestSpec, enterprise: EnterpriseSection, sums: Sums, days: Sequence[ClosedDay] = ()
) -> tuple[IndicatorLine, ...]:
    """All rows of the table in force, in its order; what cannot be told is null with the reason.

    ``days``: those that have ended, for what is told of several of them.
    """
    known = figures(spec, enterprise, sums)
    machines = [each for each in _public(spec) if not each.metering_only]
    public = [sums.machines[each.name] for each in machines if each.name in sums.machines]
    lines: list[IndicatorLine] = []
    for row in spec.indicators.rows:
        if row.baseline:
            lines += _baselines(row, row.baseline, machines, days)
        else:
            lines.append(_of_machines(row, public) if row.kpi else _of_plant(row, known, sums))
    return tuple(lines)


Figure = tuple[float | None, str]
"""A number, or None and why it is not known."""


def figures(spec: DigestSpec, enterprise: EnterpriseSection, sums: Sums) -> Mapping[str, Figure]:
    """The numbers that indicators are made of, by the names that the table uses.

    ``connected``: machines with a device that delivered good data; devices where no machine is configured.
    """
    mapped = spec.indicators
    delivering = {name for name, each in sums.devices.items() if each.good}
    public = _public(spec)
    machines = [each for each in spec.machines if not each.metering_only]
    connected = [each for each in machines if each.devices & delivering]
    driver = {device.name: device.driver for device in spec.devices}
    key = [each for each in public if each.key_process and not each.metering_only]
    standard = [each for each in key if any(driver.get(name) in mapped.protocols for name in each.devices & delivering)]
    collected = {name for each in public for name in _collected(sums.machines.get(each.name))}
    inventory = enterprise.inventory
    processes = inventory.key_processes if inventory else ()
    # The mean over key processes, each by its own machines: a sum of shares ÷ their number.
    controlled = sum(each.nc / each.machines for each in processes if each.machines)
    return {
        "declared_total": _declared(inventory.production_equipment if inventory else None),
        "declared_digital": _declared(inventory.digital if inventory else None),
        "key_processes": (float(len(processes)), "") if processes else (None, NO_KEY_INVENTORY),
        "key_processes_nc": (controlled, "") if processes else (None, NO_KEY_INVENTORY),
        "connected": (float(len(connected) if machines else len(delivering)), ""),
        "links": (float(len(mapped.links)), ""),
        "links_collected": (float(sum(bool(collected & {*inputs}) for inputs in mapped.links.values())), ""),
        "key_machines": (float(len(key)), "" if key else NO_KEY_MACHINE),
        "key_standard": (float(len(standard)), ""),
    }


def _public(spec: DigestSpec) -> list[MachineSpec]:
    return [machine for machine in spec.machines if not machine.refusal]


def _declared(count: int | None) -> Figure:
    return (None, NOT_DECLARED) if count is None else (float(count), "")


def _collected(sums: MachineSums | None) -> list[str]:
    """Which inputs of a machine have told anything."""
    if sums is None:
        return []
    told = [name for name in ("produced", "good", "scrap", "rework") if getattr(sums, name) is not None]
    if any(held for state, held in sums.states.items() if state != "unknown"):
        told.append("known_state")
    return [*told, "energy"] if sums.energy_known_us else told


def _of_plant(row: Row, known: Mapping[str, Figure], sums: Sums) -> IndicatorLine:
    (top, why_top), (bottom, why_bottom) = known[row.numerator], known[row.denominator]
    reason = why_bottom or why_top or (NOTHING if not bottom else "")
    value = None if reason or top is None or not bottom else top / bottom
    expected = sum(each.expected for each in sums.devices.values())
    good = sum(each.good for each in sums.devices.values())
    coverage = None if row.basis == "declared" or not expected else good / expected
    return _line(row, "1", value, (top, bottom), coverage, reason or (ABOVE_ONE if value and value > 1 else ""))


def _of_machines(row: Row, machines: Sequence[MachineSums]) -> IndicatorLine:
    needed = PRODUCTS.get(row.kpi, (row.kpi,))
    reasons: list[str] = []
    summed: MachineSums | None = None
    for machine in machines:
        lines = [kpi(code, machine) for code in needed]
        missing = [each.reason for each in lines if not _usable(each)]
        reasons += missing
        if not missing:
            summed = machine if summed is None else add(summed, machine)
    if summed is None:
        unit = kpi(row.kpi, MachineSums()).unit
        return _line(row, unit, None, (None, None), None, reasons[0] if reasons else NO_MACHINE)
    found = kpi(row.kpi, summed)
    known = summed.energy_known_us if row.known_by == "energy" else summed.span_us - summed.states.get("unknown", 0)
    coverage = known / summed.span_us if summed.span_us else None
    return _line(row, found.unit, found.value, (found.numerator, found.denominator), coverage, found.reason)


def _baselines(
    row: Row, rule: BaselineRule, machines: Sequence[MachineSpec], days: Sequence[ClosedDay]
) -> list[IndicatorLine]:
    """One line for each machine whose energy and pieces are measured."""
    nothing = (None, None)
    lines = []
    for machine in machines:
        counted = "produced" in machine.counts or machine.cycle_state is not None
        if not counted or not (machine.energy or machine.power):
            continue
        found = baseline(machine, days, rule)
        coverage = found.n / found.days if found.days else None
        line = _line(row, "kWh", found.b1, nothing, coverage, found.reason)
        fit = BaselineFit(b0=figure(found.b0), b1=figure(found.b1), n=found.n, r2=figure(found.r2))
        lines.append(msgspec.structs.replace(line, machine=machine.name, fit=fit))
    return lines or [_line(row, "kWh", None, nothing, None, NO_BASELINE)]


def _usable(found: Kpi) -> bool:
    """Whether a machine's part can be added: it is known, be it 0."""
    return found.value is not None or found.reason in (NOTHING, NO_STATE, NO_FAILURE)


def _line(
    row: Row,
    unit: str,
    value: float | None,
    terms: tuple[float | None, float | None],
    coverage: float | None,
    reason: str,
) -> IndicatorLine:
    return IndicatorLine(
        code=row.code,
        value=figure(value),
        unit=unit,
        numerator=amount(terms[0]),
        denominator=amount(terms[1]),
        basis=row.basis,
        coverage=figure(coverage),
        standard=row.standard,
        reason=reason or UNSET,
        bin=_bin(row.edges, value) if row.edges and value is not None else UNSET,
    )


def _bin(edges: Sequence[float], value: float) -> str:
    """``(20,40]``, in percent; the first one holds 0."""
    place = bisect_left(edges, value)
    low, high = ([0.0, *edges][place] * 100, [*edges, 1.0][place] * 100)
    return f"{'(' if place else '['}{low:.0f},{high:.0f}]"
