"""Findings: rules that are data (:mod:`.tables`) over the sums of a window that ends with the period. Pure.

A rule names what it measures (:mod:`.measures`), its limits, and what it needs to be told: a share of the
window that is known, hours that were recorded, counts. What it has too little of makes it say "insufficient".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import UNSET

from agent.config.digest_tables import FindingTable, Limit, Rule
from agent.digest.equipment.sums import MachineSums
from agent.digest.measures import HOUR_US, OF_DEVICES, OF_MACHINES, Values, coverage_of, view
from agent.digest.report import FindingLine, RuleTexts, Span, figure
from agent.digest.rollups import Sums, days_before, total
from agent.digest.spec import DigestSpec
from agent.digest.windows import iso

WINDOW_DAYS = {"day": 1, "week": 7, "month": 28}
CLOCK_UNTRUSTED = "no source of time is trusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What rules on the gateway itself look at. ``clock_offset_s``: None where it is not known any more."""

    connected: float | None
    declared: float | None
    clock_offset_s: float | None
    clock_trusted: bool = True


def windows(days: Sequence[Sums], period: Sums, zone: ZoneInfo) -> dict[str, Sums]:
    """The sums of each window that ends with ``period``; ``days`` before it, its own day so far included."""
    result = {"period": period}
    for name, count in WINDOW_DAYS.items():
        since = days_before(period.start, zone, count)
        result[name] = total([*(day for day in days if day.start >= since), period]) or period
    return result


def findings(
    spec: DigestSpec, sums: Mapping[str, Sums], gateway: Gateway
) -> tuple[tuple[FindingLine, ...], dict[str, int]]:
    """The lines, in the order of the rules; and how many subjects each rule could judge. ``sums``: by window."""
    table = spec.findings
    lines: list[FindingLine] = []
    assessed: dict[str, int] = {}
    for rule in table.rules:
        for subject in _subjects(rule, spec, sums, gateway):
            if not _enough(rule, subject):
                continue
            line = _judged(rule, subject, sums[rule.window], table.least_coverage)
            assessed[rule.id] = assessed.get(rule.id, 0) + (line is None or line.status == "found")
            if line is not None:
                lines.append(line)
    return tuple(lines), assessed


def texts(lines: Sequence[FindingLine], table: FindingTable) -> dict[str, RuleTexts]:
    """What to read out for the rules that found something, once each, however many lines there are."""
    found = {line.rule for line in lines if line.status == "found"}
    return {rule.id: RuleTexts(title=rule.title, action=rule.action) for rule in table.rules if rule.id in found}


@dataclass(frozen=True, slots=True)
class _Subject:
    name: str
    values: Values
    coverage: float | None = None
    doubt: str = ""


def _subjects(rule: Rule, spec: DigestSpec, sums: Mapping[str, Sums], gateway: Gateway) -> Iterator[_Subject]:
    """Those that have what the rule measures."""
    window = sums[rule.window]
    if rule.scope == "gateway":
        subject = _gateway(rule, gateway)
        found = [subject] if subject else []
    elif rule.scope == "device":
        names = [each.name for each in spec.devices if each.name in window.devices]
        found = [_Subject(name, OF_DEVICES[rule.subject](window.devices[name])) for name in names]
    else:
        empty = MachineSums()
        found = []
        for machine in spec.machines:
            mine = window.machines.get(machine.name)
            if mine is None or machine.refusal:
                continue
            values = OF_MACHINES[rule.subject](view(machine, mine, sums["week"].machines.get(machine.name, empty)))
            coverage = coverage_of(mine, rule.coverage) if rule.coverage else None
            found.append(_Subject(machine.name, values, coverage))
    measured = {limit.measure for limit in rule.limits}
    yield from (each for each in found if measured & each.values.keys())


def _gateway(rule: Rule, gateway: Gateway) -> _Subject | None:
    if rule.subject == "clock_quality":
        if gateway.clock_offset_s is None:
            return None
        doubt = "" if gateway.clock_trusted else CLOCK_UNTRUSTED
        return _Subject("", {"clock_offset_s": abs(gateway.clock_offset_s)}, doubt=doubt)
    if gateway.connected is None or not gateway.declared:
        return None
    share = 1 - gateway.connected / gateway.declared
    return _Subject("", {"unmonitored_share": share, "connected": gateway.connected, "declared": gateway.declared})


def _judged(rule: Rule, subject: _Subject, window: Sums, least_coverage: float) -> FindingLine | None:
    doubt = subject.doubt or _doubt(rule, subject, window, least_coverage)
    passed = next((each for each in rule.limits if _passed(each, subject.values)), None)
    common: dict[str, Any] = {
        "rule": rule.id,
        "version": rule.version,
        "scope": rule.scope,
        "name": subject.name,
        "window": rule.window,
        "span": Span(start=iso(window.start), end=iso(window.end)),
        "coverage": figure(subject.coverage),
    }
    # A finding is a finding where the clock is wrong by as much as can be seen, whoever trusts it.
    if doubt and not (passed and subject.doubt):
        return FindingLine(status="insufficient", evidence={}, reason=doubt, **common)
    if passed is None:
        return None
    return FindingLine(
        status="found",
        evidence={name: figure(value) for name, value in subject.values.items()},
        level=passed.level,
        measure=passed.measure,
        value=figure(subject.values[passed.measure]),
        side="above" if passed.above is not None else "below",
        threshold=passed.above if passed.above is not None else passed.below,
        action=passed.action or UNSET,
        reason=UNSET,
        **common,
    )


def _enough(rule: Rule, subject: _Subject) -> bool:
    return all(subject.values.get(name, 0.0) >= least for name, least in rule.least.items())


def _passed(limit: Limit, values: Values) -> bool:
    return limit.measure in values and limit.passed(values[limit.measure])


def _doubt(rule: Rule, subject: _Subject, window: Sums, least_coverage: float) -> str:
    recorded = window.covered_us / HOUR_US
    if recorded < rule.least_recorded_h:
        return f"recorded for {recorded:.1f} h, {rule.least_recorded_h:g} h are needed"
    if rule.coverage and subject.coverage is not None and subject.coverage < least_coverage:
        return f"{100 * subject.coverage:.1f} % of the time is known, {100 * least_coverage:g} % are needed"
    return ""
