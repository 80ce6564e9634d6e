"""From the store to the report, a day of the plant at a time: 31 days of 50 machines fit into a gateway's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET

from agent.buffer.records import DigestRecord, Loss, RollupRecord
from agent.buffer.room import FOREVER
from agent.config.model import Configuration
from agent.diagnosis.cells import CellBuilder, Cells, plant_days, step_for
from agent.diagnosis.exact import BlockStore, Detail, detail
from agent.diagnosis.losses import OpenFaults, lost, pareto, waterfall
from agent.diagnosis.model import LostLine, Machine, Proof, Report, Source
from agent.digest import rollups
from agent.digest.equipment.times import Carry
from agent.digest.rollups import DAY, PERIOD, Kept, Sums, day_of, days_of, kept_of, total
from agent.digest.spec import DigestSpec, compile_spec
from agent.digest.summary import Summary, look_back, summary
from agent.digest.windows import SECOND, Period, iso
from agent.errors import GongfuError

_DIGESTS_AT_ONCE = 64


class ReportStore(BlockStore, Protocol):
    """What is asked of :class:`agent.buffer.store.Store`."""

    async def rollups(self, kind: str, start: int, end: int) -> list[RollupRecord]: ...
    async def rollup_ending(self, kind: str, end: int) -> RollupRecord | None: ...
    async def digests(self, limit: int, before_seq: int) -> list[DigestRecord]: ...
    async def losses(self, start: int, end: int) -> list[Loss]: ...


@dataclass(slots=True)
class _Gathered:
    """``parts``: sums of the plant's days as far as they lie in the span, oldest first."""

    cells: Cells
    parts: list[Sums] = field(default_factory=list)
    before: dict[str, Carry] = field(default_factory=dict)
    after: dict[str, Carry] = field(default_factory=dict)


async def gather(
    store: ReportStore,
    configuration: Configuration,
    span: Period,
    *,
    made: int,
    fingerprint: str = "",
    machine: str = "",
    tell: Callable[[str], None] = lambda text: None,
) -> Report:
    """``machine``: this one only. ``tell`` hears how far it has come. Raises GongfuError where nothing was recorded."""
    looked_at = _only(configuration, machine) if machine else configuration
    zone = ZoneInfo(configuration.file.gateway.timezone)
    days = days_of(await store.rollups(DAY, look_back(span), span.end))
    gathered = await _sums(store, span, days, zone, tell)
    recorded = total(gathered.parts)
    made_of = summary("day", span, [*_earlier(days, span, zone), *gathered.parts], configuration)
    if recorded is None or made_of is None:
        raise GongfuError(
            f"no digest has been built from {iso(span.start)} to {iso(span.end)}", remedy="see: gongfu-edge digest list"
        )
    made_of = _of_one(made_of, machine) if machine else made_of
    spec = compile_spec(configuration, {}, {})
    machines, withheld = _machines(made_of, recorded, gathered, spec)
    cells = _of_machines(gathered.cells, [each.name for each in machines])
    told = await detail(store, looked_at, cells, gathered.before, tell) if machines else Detail()
    told.segments = {name: steps for name, steps in told.segments.items() if name not in withheld}
    told.stops = tuple(each for each in told.stops if each.machine not in withheld)
    source, proof = await _proof(store, configuration, span, fingerprint, tell)
    return Report(
        made=made,
        zone=zone,
        span=span,
        recorded=Period(recorded.start, recorded.end),
        enterprise=configuration.file.enterprise,
        source=source,
        summary=made_of,
        machines=machines,
        withheld=withheld,
        cells=cells,
        detail=told,
        pareto=pareto(
            (each.name, each.sums, each.lost_us) for each in machines if each.sums.calendar and not each.metering_only
        ),
        losses=_losses(await store.losses(span.start, span.end)),
        proof=proof,
        rules={each.id: each.title for each in spec.findings.rules},
    )


def _of_machines(cells: Cells, names: Sequence[str]) -> Cells:
    machines = {name: cells.machines[name] for name in names if name in cells.machines}
    return Cells(cells.start, cells.end, machines, cells.devices)


def _only(configuration: Configuration, machine: str) -> Configuration:
    chosen = tuple(each for each in configuration.file.equipment if each.name == machine)
    if not chosen:
        names = ", ".join(each.name for each in configuration.file.equipment) or "none is configured"
        raise GongfuError(f"there is no equipment {machine!r}", remedy=f"one of: {names}")
    return replace(configuration, file=msgspec.structs.replace(configuration.file, equipment=chosen))


def _of_one(made_of: Summary, machine: str) -> Summary:
    """Indicators stay those of the plant, which are shares of all its machines."""
    return msgspec.structs.replace(
        made_of,
        equipment=tuple(each for each in made_of.equipment if each.name == machine),
        indicators=tuple(each for each in made_of.indicators if each.machine in (UNSET, machine)),
        findings=tuple(each for each in made_of.findings if each.scope != "machine" or each.name == machine),
    )


def _earlier(days: Sequence[Sums], span: Period, zone: ZoneInfo) -> list[Sums]:
    return [each for each in days if day_of(each.start, zone).end <= span.start]


async def _sums(
    store: ReportStore, span: Period, days: Sequence[Sums], zone: ZoneInfo, tell: Callable[[str], None]
) -> _Gathered:
    by_day = {day_of(each.start, zone).start: each for each in days}
    builder = CellBuilder(step_for(span.length), zone)
    gathered = _Gathered(builder.result())
    for day in plant_days(span, zone):
        tell(f"adding up {datetime.fromtimestamp(day.start // SECOND, zone):%Y-%m-%d} …")
        whole = span.start <= day.start and day.end <= span.end
        part = Period(max(day.start, span.start), min(day.end, span.end))
        kept = [each for record in await store.rollups(PERIOD, part.start, part.end) if (each := kept_of(record))]
        kept = kept if whole else [each for each in kept if each.sums.end <= part.end]
        so_far = by_day.get(day.start) if whole else None
        if so_far and sum(each.sums.covered_us for each in kept) < so_far.covered_us:
            builder.add(so_far)  # of some of its periods only this sum is left
            gathered.parts.append(so_far)
            gathered.after = {}
            continue
        if not kept:
            continue
        if not gathered.parts:
            gathered.before = await _carries(store, kept[0])
        for each in kept:
            builder.add(each.sums)
        sums = so_far or total(each.sums for each in kept)
        gathered.parts += [sums] if sums else []
        gathered.after = kept[-1].carries
    gathered.cells = builder.result()
    return gathered


async def _carries(store: ReportStore, first: Kept) -> dict[str, Carry]:
    before = kept_of(await store.rollup_ending(rollups.PERIOD, first.sums.start))
    return before.carries if before else {}


def _machines(
    made_of: Summary, sums: Sums, gathered: _Gathered, plant: DigestSpec
) -> tuple[tuple[Machine, ...], dict[str, str]]:
    specs = {each.name: each for each in plant.machines}
    machines: list[Machine] = []
    withheld: dict[str, str] = {}
    nothing = Carry()
    for line in made_of.equipment:
        if isinstance(line.withheld, str):
            withheld[line.name] = line.withheld
            continue
        mine = sums.machines[line.name]
        faults = OpenFaults(
            gathered.before.get(line.name, nothing).fault_us, gathered.after.get(line.name, nothing).fault_us
        )
        spec = specs.get(line.name)
        machines.append(
            Machine(
                name=line.name,
                sums=mine,
                line=line,
                lost_us={} if spec and spec.metering_only else lost(mine, faults),
                waterfall=waterfall(mine, faults),
                metering_only=bool(spec and spec.metering_only),
                sub_meters=spec.sub_meters if spec else (),
            )
        )
    return tuple(machines), withheld


def _losses(losses: Sequence[Loss]) -> tuple[LostLine, ...]:
    groups: dict[tuple[str, str], list[Loss]] = {}
    for loss in losses:
        groups.setdefault((loss.cause, loss.device), []).append(loss)
    return tuple(
        LostLine(
            cause=cause,
            device=device,
            start=min(each.start for each in group),
            end=max(each.end for each in group),
            count=sum(each.count for each in group),
            entries=len(group),
        )
        for (cause, device), group in sorted(groups.items())
    )


class _Clock(msgspec.Struct, frozen=True):
    trusted: bool = False
    source: str = ""
    offset_s: float = 0.0


class _Header(msgspec.Struct, frozen=True):
    gateway: str = ""
    agent_version: str = ""
    clock: _Clock = _Clock()


class _Headed(msgspec.Struct, frozen=True):
    """What is read of a digest of any version."""

    header: _Header = _Header()


async def _proof(
    store: ReportStore, configuration: Configuration, span: Period, fingerprint: str, tell: Callable[[str], None]
) -> tuple[Source, Proof]:
    # Bodies come with the records, so a few at a time; newest first, and no further than the span.
    name, before = configuration.file.gateway.name, FOREVER
    newest: DigestRecord | None = None
    first, count, states = 0, 0, {"accepted": 0, "pending": 0, "rejected": 0}
    reached = False
    while not reached and (records := await store.digests(_DIGESTS_AT_ONCE, before)):
        tell("looking up digests …")
        for record in records:
            before = record.seq
            reached = reached or (record.kind == "period" and record.end <= span.start)
            if record.start >= span.start and record.end <= span.end:
                newest, first, count = newest or record, record.seq, count + 1
                states[record.state] += 1
    if newest is None:
        return Source(name=name, fingerprint=fingerprint), Proof(states=states)
    header = _header(newest)
    source = Source(
        name=name,
        gateway=header.gateway,
        fingerprint=fingerprint,
        version=header.agent_version,
        clock=header.clock.source,
        clock_trusted=header.clock.trusted,
        clock_offset_s=header.clock.offset_s,
    )
    return source, Proof(count=count, first_seq=first, last_seq=newest.seq, head_hash=newest.hash, states=states)


def _header(record: DigestRecord) -> _Header:
    try:
        return msgspec.json.decode(record.body, type=_Headed).header
    except msgspec.DecodeError:  # saved from a damaged file
        return _Header()
