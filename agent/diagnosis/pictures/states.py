"""The state timeline: which machine did what when, to the moment or as shares of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes

from agent.diagnosis.cells import Cells, Floats, merged, plant_days, step_for
from agent.diagnosis.model import Report
from agent.diagnosis.pictures.canvas import GRID, HOUR, LOOKS, Canvas, Picture, elided, hours, time_axis
from agent.diagnosis.words import Words
from agent.digest.equipment.states import STATES
from agent.digest.equipment.steps import Steps
from agent.digest.windows import DAY, Period

ROWS = 12
"""Machines of one drawing."""
DAILY_MACHINES = 4
"""So few machines get a drawing each, with a row a day."""
MOST_SEGMENTS = 1200
"""In one row; beyond it shares of time tell more than lines that nobody can see."""
_ROW_MM, _NARROW_MM = 8.0, 6.0
_WIDE_ROWS = 14
"""With more rows than this they are narrow, so that a month fits on a page."""
_FLEET_CELLS = 200


def timelines(report: Report, words: Words) -> Iterator[Picture]:
    """One drawing a machine with a row a day, or drawings of several machines with a row each."""
    days = list(plant_days(report.recorded, report.zone))
    names = [each.name for each in report.working if each.name in report.cells.machines]
    if len(names) <= DAILY_MACHINES and 2 <= len(days) <= 31:
        for number, name in enumerate(names):
            yield _daily(report, words, name, days, f"days{number}")
        return
    for number in range(0, len(names), ROWS):
        yield _fleet(report, words, names[number : number + ROWS], f"states{number}")


def _daily(report: Report, words: Words, name: str, days: Sequence[Period], part: str) -> Picture:
    longest = max(each.length for each in days)
    canvas = _canvas(len(days))
    canvas.heading(name)
    for row, day in enumerate(days):
        segments = _within(report.detail.segments.get(name), day)
        _row(canvas.axes, row, report.cells, name, segments, day)
    time_axis(canvas.axes, days[0].start, days[0].start + longest, report.zone)
    canvas.axes.set_xticks(
        range(0, round(longest / HOUR) + 1, 3), [f"{hour}:00" for hour in range(0, round(longest / HOUR) + 1, 3)]
    )
    _rows(canvas, [words.date(day.start, report.zone) for day in days])
    return _finished(canvas, words, part, words("timeline.alt", name=name))


def _fleet(report: Report, words: Words, names: Sequence[str], part: str) -> Picture:
    span = report.recorded
    cells = merged(report.cells, step_for(span.length, _FLEET_CELLS), report.zone)
    canvas = _canvas(len(names), top=3.0)
    for row, name in enumerate(names):
        _row(canvas.axes, row, cells, name, report.detail.segments.get(name) if span.length <= 2 * DAY else None, span)
    time_axis(canvas.axes, span.start, span.end, report.zone)
    _rows(canvas, [elided(name, 18) for name in names])
    return _finished(canvas, words, part, words("timeline.alt", name=", ".join(names)))


def _canvas(rows: int, *, top: float = 7.0) -> Canvas:
    each = _ROW_MM if rows <= _WIDE_ROWS else _NARROW_MM
    return Canvas(rows * each + 11.0 + top, left=30.0, right=5.0, bottom=11.0, top=top)


def _rows(canvas: Canvas, labels: Sequence[str]) -> None:
    axes = canvas.axes
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _finished(canvas: Canvas, words: Words, part: str, title: str) -> Picture:
    canvas.legend([(words(f"state.{state}"), LOOKS[state]) for state in STATES])
    return canvas.picture(part, title)


def _within(segments: Steps | None, period: Period) -> Steps | None:
    return segments.clipped(period.start, period.end) if segments is not None else None


def _row(axes: Axes, row: int, cells: Cells, name: str, segments: Steps | None, period: Period) -> None:
    axes.axhline(row + 0.4, color=GRID, linewidth=0.4, zorder=0)
    mine = (cells.start >= period.start) & (cells.start < period.end)
    states = cells.machines[name].states[mine]
    start, end = cells.start[mine], cells.end[mine]
    if segments is not None and 0 < len(segments) <= MOST_SEGMENTS:
        _segments(axes, row, segments, period)
        # Cells that no readings speak for: as shares.
        left = np.isnan(segments.at((start + end) // 2))
        start, end, states = start[left], end[left], states[left]
    _shares(axes, row, hours(start, period.start), hours(end, period.start), states)


def _segments(axes: Axes, row: int, segments: Steps, period: Period) -> None:
    for code, state in enumerate(STATES):
        chosen = segments.value == code
        if chosen.any():
            begin, length = hours(segments.start[chosen], period.start), segments.length[chosen] / HOUR
            _filled(axes.broken_barh, list(zip(begin.tolist(), length.tolist(), strict=True)), row, state)


def _filled(draw: Callable[..., object], bars: list[tuple[float, float]], row: int, state: str) -> None:
    look = LOOKS[state]
    draw(bars, (row - 0.4, 0.8), facecolor=look.colour, hatch=look.hatch or None, edgecolor="#444444", linewidth=0)


def _shares(axes: Axes, row: int, start: Floats, end: Floats, states: Floats) -> None:
    total = states.sum(axis=1)
    kept = total > 0
    if not kept.any():
        return
    start, end, states = start[kept], end[kept], states[kept] / total[kept][:, None]
    # Steps: two points a cell, and a hole where the next one does not touch.
    hole = np.flatnonzero(start[1:] - end[:-1] > 1e-9) + 1
    x = np.insert(np.stack((start, end), axis=1), hole, np.nan, axis=0).reshape(-1)
    shares = np.insert(states, hole, np.nan, axis=0)
    upper = row + 0.4 - 0.8 * np.cumsum(shares, axis=1)
    lower = np.concatenate((np.where(np.isnan(upper[:, :1]), np.nan, row + 0.4), upper[:, :-1]), axis=1)
    for code, state in enumerate(STATES):
        if np.nansum(shares[:, code]) > 0:
            look = LOOKS[state]
            axes.fill_between(
                x,
                np.repeat(lower[:, code], 2),
                np.repeat(upper[:, code], 2),
                facecolor=look.colour,
                hatch=look.hatch or None,
                edgecolor="#444444",
                linewidth=0,
            )
