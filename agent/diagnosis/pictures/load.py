"""The load curve: mean power over time, and how much of it was used without producing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from agent.diagnosis.cells import Cells, Floats
from agent.diagnosis.model import Machine, Report
from agent.diagnosis.pictures.canvas import GRID, HOUR, LOOKS, Canvas, Picture, hours, time_axis
from agent.diagnosis.values import idle_share
from agent.diagnosis.words import Words

MOST = 6
"""Machines that get a curve of their own, those with most idle energy."""
LEAST_KNOWN = 0.5
_HEIGHT_MM = 42.0


def curves(report: Report, words: Words) -> Iterator[Picture]:
    """Of all machines together, then of the thirstiest idlers."""
    measured = [each for each in report.machines if each.sums.energy_basis and each.name in report.cells.machines]
    if len(measured) > 1:
        yield _drawn(report, report.feeds, report.idlers, words("load.plant", count=len(report.idlers)), words, "load")
    ranked = sorted(measured, key=lambda each: (-each.sums.idle_kwh, each.name))
    for number, machine in enumerate(ranked[:MOST]):
        idlers = [] if machine.metering_only else [machine]
        yield _drawn(report, [machine], idlers, machine.name, words, f"load{number}")


def power(cells: Cells, machine: Machine) -> tuple[Floats, Floats]:
    """(all, idle) mean kW of each cell; NaN where less than half of it is known."""
    mine = cells.machines[machine.name]
    known = (mine.known_us >= LEAST_KNOWN * mine.span_us) & (mine.span_us > 0)
    lasting = np.where(known, mine.known_us, 1.0) / HOUR
    return np.where(known, mine.metered_kwh / lasting, np.nan), np.where(known, mine.idle_kwh / lasting, np.nan)


def _summed(parts: Sequence[Floats]) -> Floats:
    """NaN where none of them is known."""
    values = np.array(parts)
    return np.where(np.isnan(values).all(axis=0), np.nan, np.nansum(values, axis=0))


def _drawn(
    report: Report, fed: Sequence[Machine], idlers: Sequence[Machine], name: str, words: Words, part: str
) -> Picture:
    cells, span = report.cells, report.recorded
    total = _summed([power(cells, each)[0] for each in fed])
    idle = _summed([power(cells, each)[1] for each in idlers]) if idlers else np.full(len(cells), np.nan)
    canvas = Canvas(_HEIGHT_MM, left=14.0, right=5.0, top=7.0, bottom=11.0)
    axes = canvas.axes
    start, end = hours(cells.start, span.start), hours(cells.end, span.start)
    hole = np.flatnonzero(start[1:] - end[:-1] > 1e-9) + 1
    x = np.insert(np.stack((start, end), axis=1), hole, np.nan, axis=0).reshape(-1)
    all_kw, idle_kw = (np.repeat(np.insert(each, hole, np.nan), 2) for each in (total, idle))
    for values, look in ((all_kw, LOOKS["load"]), (idle_kw, LOOKS["idle"])):
        axes.fill_between(
            x, 0, values, facecolor=look.colour, hatch=look.hatch or None, edgecolor="#555555", linewidth=0
        )
    axes.plot(x, all_kw, color="#1f4e79", linewidth=0.6)
    top = np.nanmax(total) if np.isfinite(total).any() else 1.0
    axes.set_ylim(0, top * 1.08 or 1.0)
    axes.grid(axis="y", color=GRID, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.locator_params(axis="y", nbins=5)
    axes.tick_params(axis="y", length=2, width=0.5)
    time_axis(axes, span.start, span.end, report.zone)
    kwh, idle_kwh = sum(each.sums.kwh for each in fed), sum(each.sums.idle_kwh for each in idlers)
    canvas.heading(name)
    share = words.percent(idle_share(idlers))
    sum_text = words("load.sum", kwh=words.number(kwh), idle=words.number(idle_kwh), share=share)
    canvas.text(180.0, _HEIGHT_MM - 3.0, sum_text, align="right")
    canvas.legend(
        [
            (words("load.idle"), LOOKS["idle"]),
            (words("load.rest"), LOOKS["load"]),
        ]
    )
    canvas.text(178.0, 2.8, "kW", align="right")
    return canvas.picture(part, words("load.alt", name=name))
