"""How much of what should be known is known, and what the gateway could not see."""

from __future__ import annotations

from agent.diagnosis.html import Markup, bullets, el, table
from agent.diagnosis.model import Report
from agent.diagnosis.pictures.coverage import heat_maps
from agent.diagnosis.sections.common import Chapter, figures, note, said
from agent.diagnosis.words import Words


def chapter(report: Report, words: Words) -> Chapter:
    """Heat maps, devices, gaps of the gateway itself, the ledger."""
    summary = report.summary
    yield note(words("coverage.note"))
    yield from figures(heat_maps(report, words) if report.cells.devices else [])
    names = ("device", "#expected", "#good", "#bad", "#missing", "#share", "#disconnects", "grade")
    columns = [f"{'#' * name.startswith('#')}{words('column.' + name.removeprefix('#'))}" for name in names]
    rows = [
        (each.name, words.number(each.expected), words.number(each.good), words.number(each.bad),
         words.number(each.missing), words.percent(each.good / each.expected if each.expected else None),
         words.number(each.disconnects), each.grade or "–")
        for each in summary.devices
    ]  # fmt: skip
    yield table(columns, rows, caption=words("coverage.table"))
    yield el("h3", words("coverage.unseen"))
    recorded = words(
        "coverage.recorded",
        start=words.moment(report.recorded.start, report.zone),
        end=words.moment(report.recorded.end, report.zone),
        hours=words.hours(summary.recorded_s * 1e6),
        span=words.hours(report.span.length),
    )
    downtime = words("coverage.downtime", time=words.hours(summary.agent_downtime_s * 1e6), restarts=summary.restarts)
    yield bullets([recorded, downtime])
    if report.withheld:
        withheld = [(name, said(reason, words)) for name, reason in report.withheld.items()]
        yield table([words("column.machine"), words("column.reason")], withheld, caption=words("coverage.withheld"))
    if report.losses:
        yield _ledger(report, words)
    else:
        yield note(words("ledger.none"))


def _ledger(report: Report, words: Words) -> Markup:
    names = ("cause", "device", "from", "to", "#count", "#entries")
    columns = [f"{'#' * name.startswith('#')}{words('column.' + name.removeprefix('#'))}" for name in names]
    rows = [
        (words.of("ledger", each.cause), each.device or "–", words.moment(each.start, report.zone),
         words.moment(each.end, report.zone), words.number(each.count), words.number(each.entries))
        for each in report.losses
    ]  # fmt: skip
    return table(columns, rows, caption=words("ledger.table"))
