"""Energy: the load curve, and what of it produced nothing."""

from __future__ import annotations

from agent.diagnosis.html import Child, table
from agent.diagnosis.model import Machine, Report
from agent.diagnosis.pictures.load import MOST, curves
from agent.diagnosis.sections.common import Chapter, figures, note
from agent.diagnosis.values import idle_share
from agent.diagnosis.words import Words
from agent.digest.equipment.kpi import known_kwh


def chapter(report: Report, words: Words) -> Chapter:
    """Curves, and a row a machine."""
    measured = [each for each in report.machines if each.sums.energy_basis]
    if not measured:
        yield note(words("energy.none"))
        return
    yield note(words("energy.note"))
    if len(measured) > MOST:
        yield note(words("energy.most", count=MOST, all=len(measured)))
    if any(each.sub_meters for each in measured):
        yield note(words("energy.sub_meters"))
    yield from figures(curves(report, words))
    columns = [words("column.machine"), *(f"#{words(f'energy.{name}')}" for name in (
        "kwh", "idle", "idle_share", "mean", "demand", "peak", "known")), words("energy.basis")]  # fmt: skip
    yield table(columns, [_row(each, words) for each in measured], caption=words("energy.table"))


def _row(machine: Machine, words: Words) -> list[Child]:
    sums = machine.sums
    hours = sums.energy_known_us / 3.6e9
    metered = sums.metered_kwh or sums.joined_kwh  # sums of an earlier version do not tell the first
    return [
        machine.name,
        words.number(known_kwh(sums)),
        words.number(None if machine.metering_only else sums.idle_kwh),
        words.percent(idle_share([machine])),
        words.number(metered / hours if hours else None, 3),
        words.number(sums.demand_kw, 3),
        words.number(sums.peak_kw, 3),
        words.percent(sums.energy_known_us / sums.span_us if sums.span_us else None),
        words.of("basis", sums.energy_basis),
    ]
