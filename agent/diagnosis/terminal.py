"""The report in short, for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agent.diagnosis.model import Machine, Report
from agent.diagnosis.values import compared
from agent.diagnosis.words import Words
from agent.digest.equipment.kpi import known_kwh
from agent.digest.equipment.states import STATES
from agent.digest.report import FindingLine
from agent.table import one_line, table

_KPIS = ("OEE", "AVAILABILITY", "EFFECTIVENESS", "QUALITY_RATIO")


def text(report: Report, words: Words) -> str:
    """Who and when; time by state, OEE and energy of each machine; findings; coverage."""
    return "\n".join(_lines(report, words))


def _lines(report: Report, words: Words) -> Iterator[str]:
    whom = report.enterprise.name or report.source.name
    start, end = (words.moment(each, report.zone) for each in (report.span.start, report.span.end))
    yield one_line(f"{words('title')} · {whom}")
    yield words("cover.span", start=start, end=end, zone=report.zone.key)
    hours, asked = words.hours(report.summary.recorded_s * 1e6), words.hours(report.span.length)
    first, last = (words.moment(each, report.zone) for each in (report.recorded.start, report.recorded.end))
    yield words("coverage.recorded", start=first, end=last, hours=hours, span=asked)
    yield ""
    if report.machines:
        head = (words("column.machine"), *(words(f"state.{each}") for each in STATES))
        rows = [(each.name, *(words.hours(each.sums.states.get(state, 0)) for state in STATES))
                for each in report.machines]  # fmt: skip
        yield table(head, rows, right=range(1, len(head)))
        yield ""
        head = (words("column.machine"), *(words(f"kpi.ISO22400.{each}") for each in _KPIS), words("energy.kwh"),
                words("energy.idle"))  # fmt: skip
        yield table(head, [_kpis(each, words) for each in report.machines], right=range(1, len(head)))
    else:
        yield words("machines.none")
    yield from (f"{one_line(name)}: {words.said(reason)}" for name, reason in report.withheld.items())
    yield ""
    yield words("glance.findings") if report.found else words("findings.none")
    yield from (f"- {_finding(each, report, words)}" for each in report.found)
    if report.insufficient:
        count = len(report.insufficient)
        yield words("tile.findings.small", count=count)
    devices = report.summary.devices
    yield ""
    head = (words("column.device"), words("column.share"), words("column.grade"))
    share = [(each.name, words.percent(each.good / each.expected if each.expected else None), each.grade or "–")
             for each in devices]  # fmt: skip
    yield table(head, share, right=(1,))


def _kpis(machine: Machine, words: Words) -> tuple[str, ...]:
    kpis = machine.line.kpis if isinstance(machine.line.kpis, dict) else {}
    values = (words.percent(kpis[f"ISO22400.{name}"].value) for name in _KPIS)
    sums, measured = machine.sums, bool(machine.sums.energy_basis)
    kwh = (words.number(each if measured else None) for each in (known_kwh(sums), sums.idle_kwh))
    return (machine.name, *values, *kwh)


def _finding(line: FindingLine, report: Report, words: Words) -> str:
    title = words.pick(report.rules[line.rule]) if line.rule in report.rules else line.rule
    action = words.pick(said) if (said := report.action(line)) else ""
    return one_line(f"{title} · {line.name or words('findings.gateway')} · {compared(line, words)} → {action}")
