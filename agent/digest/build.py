"""A digest is a pure function of (blocks in the period, configuration in force, events)."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from msgspec import UNSET

from agent.config.model import EnterpriseSection
from agent.digest.accumulate import Accumulator, Observations
from agent.digest.audience import EVERYTHING, View
from agent.digest.coverage import coverage
from agent.digest.effect import terms
from agent.digest.equipment.lines import line
from agent.digest.equipment.machine import measure_all
from agent.digest.findings import Gateway, findings, texts, windows
from agent.digest.indicators import figures, indicators
from agent.digest.inputs import DigestInputs, Facts
from agent.digest.ledger import begun, ledger, overlapping
from agent.digest.report import (
    SCHEMA,
    Affiliation,
    ChainMembership,
    ClockState,
    Coverage,
    Digest,
    Header,
    Span,
    TagSummary,
    number,
)
from agent.digest.rollups import Kept, Sums, closed_days, sums_of
from agent.digest.tags import summaries
from agent.digest.windows import Period, iso


def build(inputs: DigestInputs) -> Digest:
    """The digest of ``inputs``; its batches are taken one by one and not kept."""
    accumulator = Accumulator(inputs.spec, inputs.period, inputs.paths)
    for batch in inputs.batches:
        accumulator.add(batch)
    return assemble(inputs, accumulator.result())


def assemble(inputs: DigestInputs, seen: Observations) -> Digest:
    """The digest of what an :class:`Accumulator` saw; ``inputs.batches`` is not looked at."""
    return conclude(inputs, seen)[0].told(EVERYTHING)


def conclude(inputs: DigestInputs, seen: Observations) -> tuple[Known, Kept]:
    """What an :class:`Accumulator` saw, measured once for whoever is told of it; and what is to be kept for the
    periods that follow."""
    period, spec = inputs.period, inputs.spec
    machines = measure_all(spec.machines, seen.tracks, period, inputs.carries)
    losses = EVERYTHING.losses(overlapping(period, inputs.losses), spec)
    covered = coverage(period, spec, seen, inputs.enterprise, inputs.events, losses)
    withheld = [machine.name for machine in spec.machines if machine.refusal]
    sums = sums_of(period, covered, {name: measured.sums for name, measured in machines.items()}, withheld)
    known = Known(inputs=inputs, coverage=covered, tags=summaries(period, spec, seen), sums=sums)
    carries = {name: measured.carry for name, measured in machines.items()}
    return known, Kept(sums=sums, carries=carries, paths=seen.tags.paths([each.key for each in spec.shared]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """All that is known of a period: ``inputs``, and what was measured of them."""

    inputs: DigestInputs
    coverage: Coverage
    tags: tuple[TagSummary, ...]
    sums: Sums

    def told(self, view: View) -> Digest:
        """The digest that says of it what one audience may know, with the place in the chain that ``inputs`` name."""
        inputs = self.inputs
        period, spec, zone = inputs.period, view.spec(inputs.spec), ZoneInfo(inputs.facts.timezone)
        sums = view.sums(self.sums, inputs.spec)
        days = [view.sums(day, inputs.spec) for day in inputs.days]
        known = figures(spec, inputs.enterprise, sums)
        gateway = Gateway(
            connected=known["connected"][0],
            declared=known["declared_total"][0],
            clock_offset_s=inputs.facts.offset_us / 1e6,
            clock_trusted=inputs.facts.clock_trusted,
        )
        found, assessed = findings(spec, windows(days, sums, zone), view.gateway(gateway))
        made = Digest(
            schema=SCHEMA,
            kind="period",
            header=header(period, inputs.facts),
            affiliation=affiliation(inputs.enterprise),
            coverage=view.coverage(self.coverage, inputs.spec),
            tags=self.tags,
            equipment=tuple(line(machine, sums.machines[machine.name]) for machine in spec.machines) or UNSET,
            ledger=ledger(begun(period, view.losses(inputs.losses, inputs.spec))),
            indicators=indicators(spec, inputs.enterprise, sums, closed_days(days, sums, zone)),
            findings=found,
            findings_assessed=assessed,
            rules=texts(found, spec.findings),
            tables={**spec.tables, **({"effect": terms().name} if inputs.prescriptions else {})},
            prescriptions=inputs.prescriptions or UNSET,
        )
        return view.digest(made, inputs.spec)


def header(period: Period, facts: Facts) -> Header:
    """Who says this, about which period, and after which digest."""
    return Header(
        gateway=facts.gateway,
        seq=facts.seq,
        previous=facts.previous,
        period=Span(start=iso(period.start), end=iso(period.end)),
        timezone=facts.timezone,
        revision=facts.revision,
        config_hash=facts.config_hash,
        agent_version=facts.agent_version,
        clock=ClockState(
            trusted=facts.clock_trusted,
            source=facts.clock_source,
            offset_s=number(facts.offset_us / 1e6) or 0.0,
        ),
    )


def affiliation(enterprise: EnterpriseSection) -> Affiliation:
    """Whom the evidence is about."""
    return Affiliation(
        enterprise=enterprise.name,
        credit_code=enterprise.credit_code,
        above_designated_size=enterprise.above_designated_size,
        industry=enterprise.industry,
        district=enterprise.district,
        town=enterprise.town,
        park=enterprise.park,
        chains=tuple(
            ChainMembership(name=chain.name, owner=chain.owner, role=chain.role) for chain in enterprise.chains
        ),
        operator=enterprise.operator,
        uplink=enterprise.uplink,
        service_provider=enterprise.service_provider,
        diagnosis_id=enterprise.diagnosis_id,
    )
