"""Days, weeks and months of the plant, from the sums of their days: for people, neither signed nor sent. Pure.

What has been signed is a digest of its own (:mod:`.rollup`); this is what it would say as far as it is known, from
the same computation.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal
from zoneinfo import ZoneInfo

from agent.config.model import Configuration
from agent.digest.content import content
from agent.digest.report import Count, DeviceCoverage, EquipmentLine, FindingLine, IndicatorLine, Part, RuleTexts, Span
from agent.digest.rollups import LONGEST_WINDOW_DAYS, Sums, total
from agent.digest.spans import CalendarKind, calendar_span
from agent.digest.windows import SECOND, Period, iso
from agent.errors import GongfuError

Kind = CalendarKind


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
    ``recorded_s`` their lengths. Findings look back from its last day. ``provisional``: no digest of the span has
    been signed, or not yet."""

    schema: Literal["gongfu.summary/1"]
    kind: Kind
    provisional: bool
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
    rules: dict[str, RuleTexts]
    tables: dict[str, str]


def span_of(kind: Kind, text: str, zone: ZoneInfo) -> Period:
    """The day, the week from Monday on, or the month that holds a date (``2026-11-23``; a month also ``2026-11``).

    Raises GongfuError for what is no date.
    """
    try:
        first = date.fromisoformat(f"{text}-01" if kind == "month" and len(text) == len("2026-11") else text)
    except ValueError:
        raise GongfuError(f"cannot read the date {text!r}", remedy='write it as "2026-11-23"') from None
    return calendar_span(kind, first, zone)


def look_back(span: Period) -> int:
    """From when on days are needed for :func:`summary`."""
    return span.start - (LONGEST_WINDOW_DAYS + 1) * 86_400 * SECOND


def summary(kind: Kind, span: Period, days: Sequence[Sums], configuration: Configuration) -> Summary | None:
    """``days``: all from :func:`look_back` on, oldest first. None where nothing of the span was recorded."""
    inside = [day for day in days if span.start <= day.start < span.end]
    sums = total(inside)
    if sums is None:
        return None
    said = content(sums, [day for day in days if day.start <= inside[-1].start], configuration)
    return Summary(
        schema="gongfu.summary/1",
        kind=kind,
        provisional=True,
        gateway=configuration.file.gateway.name,
        timezone=configuration.file.gateway.timezone,
        span=Span(start=iso(span.start), end=iso(span.end)),
        recorded=Span(start=iso(sums.start), end=iso(sums.end)),
        recorded_s=sums.covered_us / 1e6,
        agent_downtime_s=sums.downtime_s,
        restarts=sums.restarts,
        devices=tuple(_device(each) for each in said.coverage.devices),
        equipment=said.equipment,
        indicators=said.indicators,
        findings=said.findings,
        findings_assessed=said.findings_assessed,
        rules=said.rules,
        tables=said.tables,
    )


def _device(each: DeviceCoverage) -> DeviceTotals:
    return DeviceTotals(
        name=each.name,
        expected=each.expected,
        good=each.good,
        bad=each.bad,
        missing=each.missing,
        disconnects=each.disconnects,
        grade=each.grade,
    )
