"""What a digest of more than a period says, from sums alone: never from ratios. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import msgspec

from agent.config.model import Configuration
from agent.digest.audience import EVERYTHING, View
from agent.digest.equipment.lines import line
from agent.digest.equipment.spec import MachineSpec
from agent.digest.equipment.sums import MachineSums
from agent.digest.findings import Gateway, findings, texts, windows
from agent.digest.indicators import figures, indicators
from agent.digest.proposals import proposals
from agent.digest.report import (
    Coverage,
    DeviceCoverage,
    EquipmentLine,
    FindingLine,
    IndicatorLine,
    InventoryCoverage,
    RuleTexts,
    TotalCoverage,
    seconds,
)
from agent.digest.rollups import DeviceSums, Sums, closed_days
from agent.digest.spec import compile_spec

WITHHELD_BEFORE = "a tag that it was measured by must not leave the plant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The sections, as in :class:`~agent.digest.report.Digest`."""

    coverage: Coverage
    equipment: tuple[EquipmentLine, ...]
    indicators: tuple[IndicatorLine, ...]
    findings: tuple[FindingLine, ...]
    findings_assessed: dict[str, int]
    rules: dict[str, RuleTexts]
    tables: dict[str, str]


def content(
    sums: Sums,
    days: Sequence[Sums],
    configuration: Configuration,
    machines: Collection[str] | None = None,
    view: View = EVERYTHING,
) -> Content:
    """``sums``: of the whole span. ``days``: of the plant, as far back as findings look, oldest first, the last one
    that of the span's end; findings look back from it. ``machines``: none but these. ``view``: who is told."""
    zone = ZoneInfo(configuration.file.gateway.timezone)
    whole, enterprise = compile_spec(configuration, {}, {}), configuration.file.enterprise
    spec, sums, days = view.spec(whole), view.sums(sums, whole), [view.sums(day, whole) for day in days]
    told = {name: each for name, each in sums.machines.items() if machines is None or name in machines}
    # What may leave now, but was withheld when some of it was measured, stays withheld as a whole.
    public = msgspec.structs.replace(
        sums, machines={name: each for name, each in told.items() if name not in sums.withheld}
    )
    known = figures(spec, enterprise, public)
    gateway = Gateway(connected=known["connected"][0], declared=known["declared_total"][0], clock_offset_s=None)
    judged = replace(spec, machines=tuple(each for each in spec.machines if each.name in public.machines))
    found, assessed = findings(judged, windows(days[:-1], days[-1], zone) | {"period": public}, view.gateway(gateway))
    specs = {machine.name: machine for machine in spec.machines}
    # Those that are configured in their order, then what was a machine at the beginning and is none any more.
    names = [*(name for name in specs if name in told), *sorted({*told} - {*specs})]
    return Content(
        coverage=view.coverage(_coverage(sums, configuration), whole),
        equipment=tuple(_line(name, specs.get(name), sums) for name in names),
        indicators=indicators(spec, enterprise, public, closed_days(days[:-1], days[-1], zone)),
        findings=found,
        findings_assessed=assessed,
        rules=texts(found, spec.findings),
        tables=spec.tables,
    )


def _line(name: str, machine: MachineSpec | None, sums: Sums) -> EquipmentLine:
    kept: MachineSums = sums.machines[name]
    machine = machine or MachineSpec(name=name, key_process=kept.key_process)
    if name in sums.withheld and not machine.refusal:
        return EquipmentLine(name=name, key_process=machine.key_process, withheld=WITHHELD_BEFORE)
    return line(machine, kept)


def _coverage(sums: Sums, configuration: Configuration) -> Coverage:
    devices = tuple(_device(name, each) for name, each in sums.devices.items())
    inventory = configuration.file.enterprise.inventory
    return Coverage(
        inventory=InventoryCoverage(
            total=inventory.production_equipment if inventory else None,
            digital=inventory.digital if inventory else None,
            configured=len(devices),
            networked=sum(each.good > 0 for each in devices),
        ),
        devices=devices,
        total=TotalCoverage(
            **{
                name: sum(getattr(device, name) for device in devices)
                for name in ("expected", "good", "uncertain", "bad", "missing", "late", "disconnects")
            },
            drops=sums.drops,
            restarts=sums.restarts,
            agent_downtime_s=sums.downtime_s,
            grade=proposals().grade(sum(each.good for each in devices), sum(each.expected for each in devices)),
        ),
        grades=proposals().grades_name,
    )


def _device(name: str, sums: DeviceSums) -> DeviceCoverage:
    return DeviceCoverage(
        name=name,
        interval_s=seconds(sums.interval_us),
        points=sums.points,
        expected=sums.expected,
        good=sums.good,
        uncertain=sums.uncertain,
        bad=sums.bad,
        missing=sums.missing,
        bad_causes=sums.bad_causes,
        late=sums.late,
        longest_gap_s=seconds(sums.longest_gap_us),
        disconnects=sums.disconnects,
        drops=sums.drops,
        grade=proposals().grade(sums.good, sums.expected),
    )
