"""A digest is a pure function of (blocks in the period, configuration in force, events)."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from msgspec import UNSET

from agent.config.model import EnterpriseSection
from agent.digest.accumulate import Accumulator, Observations
from agent.digest.coverage import coverage
from agent.digest.effect import terms
from agent.digest.equipment.lines import line
from agent.digest.equipment.machine import measure_all
from agent.digest.findings import Gateway, findings, windows
from agent.digest.indicators import figures, indicators
from agent.digest.inputs import DigestInputs, Facts
from agent.digest.ledger import begun, ledger, overlapping
from agent.digest.report import SCHEMA, Affiliation, ChainMembership, ClockState, Digest, Header, Span, number
from agent.digest.rollups import Kept, closed_days, sums_of
from agent.digest.tags import summaries
from agent.digest.windows import Period, iso


def build(inputs: DigestInputs) -> Digest:
    """The digest of ``inputs``; its batches are taken one by one and not kept."""
    accumulator = Accumulator(inputs.spec, inputs.period)
    for batch in inputs.batches:
        accumulator.add(batch)
    return assemble(inputs, accumulator.result())


def assemble(inputs: DigestInputs, seen: Observations) -> Digest:
    """The digest of what an :class:`Accumulator` saw; ``inputs.batches`` is not looked at."""
    return conclude(inputs, seen)[0]


def conclude(inputs: DigestInputs, seen: Observations) -> tuple[Digest, Kept]:
    """The digest of what an :class:`Accumulator` saw, and what is to be kept for those that follow."""
    period, spec = inputs.period, inputs.spec
    machines = measure_all(spec.machines, seen.tracks, period, inputs.carries)
    covered = coverage(period, spec, seen, inputs.enterprise, inputs.events, overlapping(period, inputs.losses))
    withheld = [machine.name for machine in spec.machines if machine.refusal]
    sums = sums_of(period, covered, {name: measured.sums for name, measured in machines.items()}, withheld)
    known = figures(spec, inputs.enterprise, sums)
    gateway = Gateway(
        connected=known["connected"][0],
        declared=known["declared_total"][0],
        clock_offset_s=inputs.facts.offset_us / 1e6,
        clock_trusted=inputs.facts.clock_trusted,
    )
    zone = ZoneInfo(inputs.facts.timezone)
    found, assessed = findings(spec, windows(inputs.days, sums, zone), gateway)
    digest = Digest(
        schema=SCHEMA,
        kind="period",
        header=header(period, inputs.facts),
        affiliation=affiliation(inputs.enterprise),
        coverage=covered,
        tags=summaries(period, spec, seen),
        equipment=tuple(line(machine, machines[machine.name].sums) for machine in spec.machines) or UNSET,
        ledger=ledger(begun(period, inputs.losses)),
        indicators=indicators(spec, inputs.enterprise, sums, closed_days(inputs.days, sums, zone)),
        findings=found,
        findings_assessed=assessed,
        tables={**spec.tables, **({"effect": terms().name} if inputs.prescriptions else {})},
        prescriptions=inputs.prescriptions or UNSET,
    )
    return digest, Kept(sums=sums, carries={name: measured.carry for name, measured in machines.items()})


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
