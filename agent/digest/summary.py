"""Days, weeks and months of the plant, from the sums of their days: for people, neither signed nor sent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from agent.config.model import Configuration
from agent.digest.equipment.lines import line
from agent.digest.findings import Gateway, findings, windows
from agent.digest.indicators import figures, indicators
from agent.digest.proposals import proposals
from agent.digest.report import Count, EquipmentLine, FindingLine, IndicatorLine, Part, Span
from agent.digest.rollups import LONGEST_WINDOW_DAYS, DeviceSums, Sums, closed_days, total
from agent.digest.spec import compile_spec
from agent.digest.windows import SECOND, Period, iso
from agent.errors import GongfuError

Kind = Literal["day", "week", "month"]


class DeviceTotals(Part, frozen=True):
    """As in :class:`~agent.digest.report.DeviceCoverage`."""

    name: str
    expected: Count
    good: Count
    bad: Count
    missing: Count
    disconnects: Count
    grade: str | None


class Summary(Part, frozen=True):
    """``span``: what was asked for; ``recorded``: from the first to the last period of it that has a digest, and
    ``recorded_s`` their lengths. Findings look back from its last day."""

    schema: Literal["gongfu.summary/1"]
    kind: Kind
    gateway: str
    timezone: str
    span: Span
    recorded: Span
    recorded_s: float
    agent_downtime_s: float
    restarts: Count
    devices: tuple[DeviceTotals, ...]
    equipment: tuple[EquipmentLine, ...]
    indicators: tuple[IndicatorLine, ...]
    findings: tuple[FindingLine, ...]
    findings_assessed: dict[str, int]
    tables: dict[str, str]


def span_of(kind: Kind, text: str, zone: ZoneInfo) -> Period:
    """The day, the week from Monday on, or the month that holds a date (``2026-11-23``; a month also ``2026-11``).

    Raises GongfuError for what is no date.
    """
    try:
        first = date.fromisoformat(f"{text}-01" if kind == "month" and len(text) == len("2026-11") else text)
    except ValueError:
        raise GongfuError(f"cannot read the date {text!r}", remedy='write it as "2026-11-23"') from None
    after = first + timedelta(days=1)
    if kind == "week":
        first -= timedelta(days=first.weekday())
        after = first + timedelta(days=7)
    elif kind == "month":
        first = first.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    start, end = (datetime.combine(each, datetime.min.time(), zone) for each in (first, after))
    return Period(round(start.timestamp()) * SECOND, round(end.timestamp()) * SECOND)


def look_back(span: Period) -> int:
    """From when on days are needed for :func:`summary`."""
    return span.start - (LONGEST_WINDOW_DAYS + 1) * 86_400 * SECOND


def summary(kind: Kind, span: Period, days: Sequence[Sums], configuration: Configuration) -> Summary | None:
    """``days``: all from :func:`look_back` on, oldest first. None where nothing of the span was recorded."""
    inside = [day for day in days if span.start <= day.start < span.end]
    sums = total(inside)
    if sums is None:
        return None
    zone = ZoneInfo(configuration.file.gateway.timezone)
    spec, enterprise = compile_spec(configuration, {}, {}), configuration.file.enterprise
    known = figures(spec, enterprise, sums)
    gateway = Gateway(connected=known["connected"][0], declared=known["declared_total"][0], clock_offset_s=None)
    before = [day for day in days if day.start < inside[-1].start]
    looked_at = windows(before, inside[-1], zone) | {"period": sums}
    found, assessed = findings(spec, looked_at, gateway)
    return Summary(
        schema="gongfu.summary/1",
        kind=kind,
        gateway=configuration.file.gateway.name,
        timezone=configuration.file.gateway.timezone,
        span=Span(start=iso(span.start), end=iso(span.end)),
        recorded=Span(start=iso(sums.start), end=iso(sums.end)),
        recorded_s=sums.covered_us / 1e6,
        agent_downtime_s=sums.downtime_s,
        restarts=sums.restarts,
        devices=tuple(_device(name, each) for name, each in sums.devices.items()),
        equipment=tuple(
            line(machine, sums.machines[machine.name]) for machine in spec.machines if machine.name in sums.machines
        ),
        indicators=indicators(spec, enterprise, sums, closed_days(before, inside[-1], zone)),
        findings=found,
        findings_assessed=assessed,
        tables=spec.tables,
    )


def _device(name: str, sums: DeviceSums) -> DeviceTotals:
    return DeviceTotals(
        name=name,
        expected=sums.expected,
        good=sums.good,
        bad=sums.bad,
        missing=sums.missing,
        disconnects=sums.disconnects,
        grade=proposals().grade(sums.good, sums.expected),
    )
