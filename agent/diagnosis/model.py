"""What the report is made of, typed; how it looks is decided elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from agent.config.digest_tables import Texts
from agent.config.model import EnterpriseSection
from agent.diagnosis.cells import Cells
from agent.diagnosis.exact import Detail
from agent.diagnosis.losses import Bar, Waterfall
from agent.digest.equipment.sums import MachineSums
from agent.digest.report import EquipmentLine, FindingLine
from agent.digest.summary import Summary
from agent.digest.windows import Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine whose figures may leave the plant. ``waterfall``: or the reason why there is none."""

    name: str
    sums: MachineSums
    line: EquipmentLine
    lost_us: Mapping[str, float]
    waterfall: Waterfall | str
    metering_only: bool = False
    """A main meter, not a machine: it uses energy and does nothing else."""
    sub_meters: tuple[str, ...] = ()
    """Machines whose energy is in this one's as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The gateway that measured, as its newest digest of the span says; empty where that is gone."""

    name: str
    gateway: str = ""
    fingerprint: str = ""
    """RFC 7638 thumbprint of its public key."""
    version: str = ""
    clock: str = ""
    clock_trusted: bool = False
    clock_offset_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The digests that the report rests on. ``states``: how many are ``accepted``, ``pending``, ``rejected``."""

    count: int = 0
    first_seq: int = 0
    last_seq: int = 0
    head_hash: str = ""
    states: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LostLine:
    """Entries of the ledger of one cause and device: microseconds (UTC), samples or digests."""

    cause: str
    device: str
    start: int
    end: int
    count: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``span``: what was asked for, and ``recorded`` what digests tell of. ``withheld``: machines of which nothing
    may leave the plant, and why. ``made``: UTC microseconds."""

    made: int
    zone: ZoneInfo
    span: Period
    recorded: Period
    enterprise: EnterpriseSection
    source: Source
    summary: Summary
    machines: tuple[Machine, ...]
    withheld: Mapping[str, str]
    cells: Cells
    detail: Detail
    pareto: tuple[Bar, ...]
    losses: tuple[LostLine, ...]
    proof: Proof
    rules: Mapping[str, Texts]
    """Titles of the rules in force, by id."""

    @property
    def found(self) -> tuple[FindingLine, ...]:
        """Findings, the most urgent level first."""
        order = ("void", "data", "warn", "improve")
        lines = [each for each in self.summary.findings if each.status == "found"]
        return tuple(sorted(lines, key=lambda each: order.index(str(each.level))))

    @property
    def working(self) -> tuple[Machine, ...]:
        """Machines that do something, without main meters."""
        return tuple(each for each in self.machines if not each.metering_only)

    @property
    def feeds(self) -> tuple[Machine, ...]:
        """Whose energy together is that of the plant, without anything twice: what no other meter measures as well."""
        below = {name for each in self.machines if each.sums.energy_basis for name in each.sub_meters}
        return tuple(each for each in self.machines if each.sums.energy_basis and each.name not in below)

    @property
    def idlers(self) -> tuple[Machine, ...]:
        """Whose idle energy together is that of the plant."""
        below = {name for each in self.working for name in each.sub_meters}
        return tuple(each for each in self.working if each.sums.energy_basis and each.name not in below)

    @property
    def insufficient(self) -> tuple[FindingLine, ...]:
        """What the rules could not tell."""
        return tuple(each for each in self.summary.findings if each.status == "insufficient")

    def action(self, line: FindingLine) -> Texts | None:
        """What to do about a finding: its own words, or those of its rule."""
        if isinstance(line.action, Texts):
            return line.action
        rule = self.summary.rules.get(line.rule)
        return rule.action if rule else None
