"""What each audience may know: the only place where a digest for somebody is made from what is known. Pure.

A period is computed once. For each audience everything that a digest is made of (the configuration's machines
and devices, sums, coverage, losses) is first reduced to what the audience was granted, and only then turned into
totals, indicators and findings: a number of a machine that was not granted has no way into them. :meth:`View.digest`
closes what is left: sections that were not granted, and whatever names what was not. What :mod:`.sharing` refuses is
in none of it, for a grant chooses among what may leave and never adds to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from agent.buffer.records import Loss
from agent.config.model import ALL_EQUIPMENT, DIGEST_SECTIONS, AudienceSection, FileSection
from agent.digest.equipment.sums import MachineSums
from agent.digest.findings import Gateway
from agent.digest.proposals import proposals
from agent.digest.report import (
    Coverage,
    Digest,
    FindingLine,
    Granted,
    IndicatorLine,
    InventoryCoverage,
    PrescriptionLine,
    TagSummary,
)
from agent.digest.rollups import Sums
from agent.digest.spec import DigestSpec

NOT_GRANTED = "told only to whom all equipment is granted"
"""Why an indicator of the whole plant is null in a digest about some of its machines."""
OF_CHAIN = ("digest_", "head_ahead")
"""How causes of the ledger begin that are about a chain of digests, and so of no concern to another audience."""
_PLACE = ("schema", "kind", "parts", "shift")
"""Members that say what a digest is, and which others it is made of."""
_COUNTED = ("expected", "good", "uncertain", "bad", "missing", "late", "disconnects")


@dataclass(frozen=True)
class View:
    """What one audience may know. ``machines`` and ``tags``: None for all of them; an array's name stands for its
    elements."""

    audience: str = ""
    sections: frozenset[str] = frozenset(DIGEST_SECTIONS)
    machines: frozenset[str] | None = None
    tags: frozenset[str] | None = None

    # -- what a digest is made of ---------------------------------------------------------------------

    def spec(self, spec: DigestSpec) -> DigestSpec:
        """As if only what was granted were configured. Not for measuring: rows of blocks are left out."""
        if self.machines is None:
            return spec
        none = np.array([], np.int32)
        devices = self._devices(spec)
        return replace(
            spec,
            devices=tuple(each for each in spec.devices if each.name in devices),
            machines=tuple(
                each if self.machines.issuperset(each.sub_meters) else replace(each, sub_meters=())
                for each in spec.machines
                if each.name in self.machines
            ),
            groups=(),
            series=none,
            group=none,
            shared=(),
        )

    def sums(self, sums: Sums, spec: DigestSpec) -> Sums:
        """``spec``: the whole one, here and below; it tells which devices the machines are read from."""
        if self.machines is None:
            return msgspec.structs.replace(sums, drops=self._drops(sums.drops))
        devices = {name: each for name, each in sums.devices.items() if name in self._devices(spec)}
        # The sum of sub-meters tells of each of them.
        compared = {each.name for each in self.spec(spec).machines if each.sub_meters}
        return msgspec.structs.replace(
            sums,
            machines={
                name: each if name in compared else _without_sub_meters(each)
                for name, each in sums.machines.items()
                if name in self.machines
            },
            devices=devices,
            drops=_added(each.drops for each in devices.values()),
            withheld=tuple(name for name in sums.withheld if name in self.machines),
        )

    def coverage(self, whole: Coverage, spec: DigestSpec) -> Coverage:
        """The devices of granted machines, and totals over them."""
        if self.machines is None:
            total = msgspec.structs.replace(whole.total, drops=self._drops(whole.total.drops))
            return msgspec.structs.replace(whole, total=total)
        names = self._devices(spec)
        devices = tuple(each for each in whole.devices if each.name in names)
        counted = {name: sum(getattr(each, name) for each in devices) for name in _COUNTED}
        return msgspec.structs.replace(
            whole,
            inventory=InventoryCoverage(
                total=None, digital=None, configured=len(devices), networked=sum(each.good > 0 for each in devices)
            ),
            devices=devices,
            total=msgspec.structs.replace(
                whole.total,
                **counted,
                drops=_added(each.drops for each in devices),
                grade=proposals().grade(counted["good"], counted["expected"]),
            ),
        )

    def losses(self, losses: Sequence[Loss], spec: DigestSpec) -> list[Loss]:
        """Each audience hears of its own chain's troubles; of the plant's data what concerns it."""
        named = {each.tag.name for each in spec.shared}  # no other tag's name is anybody's business
        losses = [each if each.series in named else replace(each, series="") for each in losses]
        if not self.audience:
            return [each for each in losses if not each.stream]
        mine = [each for each in losses if each.stream == self.audience or not (each.stream or _of_chain(each.cause))]
        return [told for each in mine if (told := self._loss(each, spec)) is not None]

    def _loss(self, loss: Loss, spec: DigestSpec) -> Loss | None:
        if loss.stream:
            return loss
        named = bool(loss.series) and self._has_tag(loss.series)
        if self.machines is not None and not named:
            if loss.device and loss.device not in self._devices(spec):
                return None
            if not loss.device:  # of all devices together: when and why, but not how much
                return replace(loss, series="", count=0)
        return loss if named else replace(loss, series="")

    def tag_lines(self, lines: Iterable[TagSummary]) -> tuple[TagSummary, ...]:
        """Those of the granted tags."""
        return tuple(each for each in lines if self._has_tag(each.name))

    def gateway(self, gateway: Gateway) -> Gateway:
        """The plant's declared numbers are for those to whom all equipment is granted."""
        return gateway if self.machines is None else replace(gateway, connected=None, declared=None)

    def concerns(self, machines: Collection[str]) -> bool:
        """Whether anything that is about these machines alone, such as a shift that they work, is told."""
        return self.machines is None or not self.machines.isdisjoint(machines)

    def _drops(self, drops: dict[str, int]) -> dict[str, int]:
        return {cause: count for cause, count in drops.items() if not (self.audience and _of_chain(cause))}

    # -- the digest -----------------------------------------------------------------------------------

    def digest(self, made: Digest, spec: DigestSpec) -> Digest:
        """``made`` of the above, without what was not granted. The gateway's own digest is left as it is."""
        if not self.audience:
            return made
        told: dict[str, Any] = {
            name: getattr(made, name) if name in self.sections else UNSET for name in DIGEST_SECTIONS
        }
        if made.tags is not UNSET and "tags" in self.sections:
            told["tags"] = self.tag_lines(made.tags)
        if self.machines is not None:
            told |= self._named(msgspec.structs.replace(made, **told), spec)
        tables = {"indicators": "indicators", "findings": "findings", "effect": "prescriptions"}
        named = {} if made.tables is UNSET else made.tables
        lines: tuple[FindingLine, ...] = told["findings"] or ()
        spoken = {each.rule for each in lines if each.status == "found"}
        words = {} if made.rules is UNSET else {rule: each for rule, each in made.rules.items() if rule in spoken}
        told |= {
            # A configuration is no audience's business but that of whoever configures.
            "header": msgspec.structs.replace(made.header, audience=self.audience, config_hash="", revision=0),
            "granted": self._granted,
            "findings_assessed": made.findings_assessed if "findings" in self.sections else UNSET,
            "rules": words if "findings" in self.sections else UNSET,
            "tables": {key: name for key, name in named.items() if tables.get(key) in self.sections} or UNSET,
        }
        # What comes to be told one day is told to nobody else until it is granted here.
        rest = dict.fromkeys({*made.__struct_fields__} - {*told, *_PLACE}, UNSET)
        return msgspec.structs.replace(made, **rest, **told)

    def _named(self, made: Digest, spec: DigestSpec) -> dict[str, object]:
        machines = self.machines or frozenset()
        devices = self._devices(spec)
        told: dict[str, object] = {}
        if made.equipment is not UNSET:
            told["equipment"] = tuple(each for each in made.equipment if each.name in machines)
        if made.findings is not UNSET:
            told["findings"] = tuple(each for each in made.findings if _is_about(each, machines, devices))
        if made.indicators is not UNSET:
            plant = {row.code for row in spec.indicators.rows if not (row.kpi or row.baseline)}
            told["indicators"] = tuple(
                _untold(each) if each.code in plant else each
                for each in made.indicators
                if each.machine is UNSET or each.machine in machines
            )
        if made.prescriptions is not UNSET:
            told["prescriptions"] = (
                tuple(each for each in made.prescriptions if _prescribed_for(each) in machines) or UNSET
            )
        return told

    @cached_property
    def _granted(self) -> Granted | UnsetType:
        return Granted(
            sections=tuple(each for each in DIGEST_SECTIONS if each in self.sections),
            equipment=(ALL_EQUIPMENT,) if self.machines is None else tuple(sorted(self.machines)),
            tags=tuple(sorted(self.tags or ())),
        )

    def _has_tag(self, name: str) -> bool:
        return self.tags is None or name in self.tags or name.partition("[")[0] in self.tags

    def _devices(self, spec: DigestSpec) -> frozenset[str]:
        """Those that the granted machines are read from."""
        if self.machines is None:
            return frozenset(each.name for each in spec.devices)
        return frozenset[str]().union(*(each.devices for each in spec.machines if each.name in self.machines))


EVERYTHING = View()
"""What the gateway's own digest says."""


def view_of(audience: AudienceSection) -> View:
    """What ``[[audience]]`` grants; nothing that it does not name."""
    return View(
        audience=audience.name,
        sections=frozenset(audience.sections),
        machines=None if ALL_EQUIPMENT in audience.equipment else frozenset(audience.equipment),
        tags=frozenset(audience.tags),
    )


def views_of(file: FileSection) -> tuple[View, ...]:
    """One for each chain: the gateway's own first, then one an audience."""
    return (EVERYTHING, *(view_of(each) for each in file.audience))


def _of_chain(cause: str) -> bool:
    return cause.startswith(OF_CHAIN)


def _without_sub_meters(sums: MachineSums) -> MachineSums:
    return msgspec.structs.replace(sums, compared_us=0, compared_kwh=0.0, sub_kwh=0.0)


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    result: dict[str, int] = {}
    for each in counts:
        for cause, count in each.items():
            result[cause] = result.get(cause, 0) + count
    return result


def _is_about(line: FindingLine, machines: frozenset[str], devices: frozenset[str]) -> bool:
    return line.scope == "gateway" or line.name in (machines if line.scope == "machine" else devices)


def _untold(line: IndicatorLine) -> IndicatorLine:
    nothing = {"value": None, "numerator": None, "denominator": None, "coverage": None}
    return msgspec.structs.replace(line, **nothing, reason=NOT_GRANTED, bin=UNSET)


def _prescribed_for(line: PrescriptionLine) -> str | None:
    return None if line.target is UNSET else line.target.machine
