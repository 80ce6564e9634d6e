"""The machines: what they did when, where planned time went, what stopped them, and their KPIs."""

from __future__ import annotations

from agent.diagnosis.cells import plant_days
from agent.diagnosis.html import Child, Markup, el, table
from agent.diagnosis.losses import CAUSES, Waterfall
from agent.diagnosis.model import Machine, Report
from agent.diagnosis.pictures.states import timelines
from agent.diagnosis.pictures.stops import paretos
from agent.diagnosis.pictures.waterfall import MOST as MOST_WATERFALLS
from agent.diagnosis.pictures.waterfall import waterfalls
from agent.diagnosis.sections.common import Chapter, figures, note, said
from agent.diagnosis.values import figure, specific, term
from agent.diagnosis.words import NONE, Words
from agent.digest.equipment.kpi import PRODUCTS
from agent.digest.equipment.kpi import kpis as kpis_of
from agent.digest.equipment.states import STATES
from agent.digest.report import EquipmentLine, KpiLine
from agent.digest.windows import DAY

MOST_IN_FULL = 12
"""Machines whose KPIs are shown one by one with numerator and denominator."""
_MAIN = (
    "ISO22400.OEE",
    "ISO22400.AVAILABILITY",
    "ISO22400.EFFECTIVENESS",
    "ISO22400.QUALITY_RATIO",
    "ISO22400.MTBF",
    "ISO22400.MTTR",
    "ENPI.SEC",
    "ENPI.IDLE_SHARE",
)


def timeline(report: Report, words: Words) -> Chapter:
    """Pictures, hours by state, and the longest stops where readings are kept."""
    if not report.working:
        yield note(words("machines.none"))
        return
    exact = bool(report.detail.segments)
    yield note(words("timeline.exact" if exact else "timeline.shares"))
    if any(each.length != DAY for each in plant_days(report.recorded, report.zone)):
        yield note(words("timeline.clocks"))
    yield from figures(timelines(report, words))
    columns = [words("column.machine"), *(f"#{words(f'state.{state}')}" for state in STATES),
               f"#{words('column.known')}"]  # fmt: skip
    rows = [
        [each.name, *(words.hours(each.sums.states.get(state, 0)) for state in STATES),
         words.percent(each.line.known if isinstance(each.line.known, float | int) else None)]
        for each in report.working
    ]  # fmt: skip
    yield table(columns, rows, caption=words("timeline.table"))


def oee(report: Report, words: Words) -> Chapter:
    """Waterfalls, and all their numbers."""
    if not report.working:
        yield note(words("machines.none"))
        return
    yield note(words("oee.note"))
    made = [(each, each.waterfall) for each in report.working if isinstance(each.waterfall, Waterfall)]
    if any(each.speed_us is not None and each.speed_us < 0 for _, each in made):
        yield note(words("oee.gain"))
    if len(made) > MOST_WATERFALLS:
        yield note(words("oee.most", count=MOST_WATERFALLS, all=len(made)))
    yield from figures(waterfalls(report, words))
    columns = [
        words("column.machine"),
        f"#{words('waterfall.planned')}",
        f"#{words('waterfall.unknown')}",
        *(f"#{words(f'cause.{cause}')}" for cause in reversed(CAUSES)),
        *(f"#{words(f'waterfall.{name}')}" for name in ("executing", "speed", "quality", "effective")),
        f"#{words('kpi.ISO22400.OEE')}",
    ]
    if made:
        yield table(columns, [_waterfall_row(each, found, words) for each, found in made], kind="dense",
                    caption=words("oee.table"))  # fmt: skip
    reasons = [
        (each.name, said(each.waterfall if isinstance(each.waterfall, str) else each.waterfall.reason, words))
        for each in report.working
        if isinstance(each.waterfall, str) or each.waterfall.reason
    ]
    if reasons:
        yield table([words("column.machine"), words("column.reason")], reasons, caption=words("oee.reasons"))


def _waterfall_row(machine: Machine, made: Waterfall, words: Words) -> list[Child]:
    parts = [made.planned_us, made.unknown_us, *(made.lost_us[cause] for cause in reversed(CAUSES))]
    parts += [made.executing_us]
    rest = [made.speed_us, made.quality_us, made.effective_us]
    kpi = _kpis(machine.line).get("ISO22400.OEE")
    return [machine.name, *(words.hours(each) for each in [*parts, *rest]), words.percent(kpi.value if kpi else None)]


def stops(report: Report, words: Words) -> Chapter:
    """The Pareto, counts of stops, and the longest of them."""
    if not report.working:
        yield note(words("machines.none"))
        return
    yield note(words("stops.note" if report.pareto else "stops.none"))
    yield from figures(paretos(report, words))
    columns = [words("column.machine"), *(f"#{words(f'stops.{name}')}" for name in (
        "count", "time", "micro_count", "micro_time", "longest", "failures", "repair", "mttr"))]  # fmt: skip
    yield table(columns, [_stops_row(each, words) for each in report.working], caption=words("stops.table"))
    if report.detail.stops:
        rows = [
            (each.machine, words.moment(each.start, report.zone, seconds=True),
             words.moment(each.end, report.zone, seconds=True), words.hours(each.length_us),
             words("state.fault" if each.faulty else "state.standby"))
            for each in report.detail.stops
        ]  # fmt: skip
        names = ("machine", "from", "to", "#planned", "state")
        head = [f"{'#' * name.startswith('#')}{words('column.' + name.removeprefix('#'))}" for name in names]
        yield table(head, rows, caption=words("stops.longest_list"))


def _stops_row(machine: Machine, words: Words) -> list[Child]:
    sums = machine.sums
    return [
        machine.name,
        words.number(sums.stops),
        words.hours(sums.stop_us),
        words.number(sums.micro_stops),
        words.hours(sums.micro_us),
        words.hours(sums.longest_stop_us),
        words.number(sums.failures),
        words.hours(sums.repair_us),
        words.hours(sums.repair_us / sums.failures if sums.failures else None),
    ]


def kpis(report: Report, words: Words) -> Chapter:
    """A row a machine with the main ones; in full where the machines are few."""
    if not report.working:
        yield note(words("machines.none"))
        return
    yield note(words("kpis.note"))
    columns = [words("column.machine"), *(f"#{words(f'kpi.{code}')}" for code in _MAIN)]
    rows = [[each.name, *(_kpi_value(code, _kpis(each.line).get(code), words) for code in _MAIN)]
            for each in report.working]  # fmt: skip
    yield table(columns, rows, kind="dense")
    if len(report.working) > MOST_IN_FULL:
        yield note(words("kpis.more", count=MOST_IN_FULL))
        return
    for machine in report.working:
        yield _in_full(machine, words)


def _in_full(machine: Machine, words: Words) -> Markup:
    columns = [words("column.kpi"), *(f"#{words(f'column.{name}')}" for name in ("value", "numerator", "denominator")),
               words("column.reason")]  # fmt: skip
    rows = [
        [words.of("kpi", each.code), figure(each.value, specific(each.code, each.unit), words),
         term(each.code, 0, each.numerator, words), term(each.code, 1, each.denominator, words),
         said(each.reason, words)]
        for each in sorted(kpis_of(machine.sums), key=lambda each: each.code not in PRODUCTS)
    ]  # fmt: skip
    return el("div", table(columns, rows, caption=machine.name), class_="keep")


def _kpis(line: EquipmentLine) -> dict[str, KpiLine]:
    return line.kpis if isinstance(line.kpis, dict) else {}


def _kpi_value(code: str, line: KpiLine | None, words: Words) -> str:
    return figure(line.value, specific(code, line.unit), words) if line else NONE
