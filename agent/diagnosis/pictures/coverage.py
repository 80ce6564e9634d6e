"""Coverage as a heat map: which device was heard when, graded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from agent.diagnosis.cells import Cells, grouped, merged
from agent.diagnosis.model import Report
from agent.diagnosis.pictures.canvas import Canvas, Look, Picture, elided
from agent.diagnosis.words import Words
from agent.digest.proposals import proposals
from agent.digest.windows import DAY, SECOND

ROWS = 25
"""Devices of one drawing."""
MOST_COLUMNS = 48
_ROW_MM = 5.0
_WIDTHS = (DAY // 96, DAY // 24, DAY // 4, DAY, 7 * DAY, 28 * DAY)
# Light to dark, so that a copier keeps the order; the letter says the grade in any case.
GRADES = {"A": Look("#e5f2ec"), "B": Look("#a8d5c2"), "C": Look("#e8a33d"), "D": Look("#9c3d00")}
NO_GRADE = Look("#ffffff", "////")
_DARK = ("D",)
_PLAIN = ("", "A")
"""Without a letter, so that the others stand out."""


def heat_maps(report: Report, words: Words) -> Iterator[Picture]:
    """Rows of devices, columns of days (hours where the span is short)."""
    names = sorted(report.cells.devices)
    length = report.recorded.length
    step = next((each for each in _WIDTHS if length <= each * MOST_COLUMNS), _WIDTHS[-1])
    cells = merged(report.cells, step, report.zone) if step <= DAY else _by_days(report, step)
    for number in range(0, len(names), ROWS):
        yield _drawn(report, cells, names[number : number + ROWS], words, f"coverage{number}")


def _by_days(report: Report, step: int) -> Cells:
    # Of more than a day a column: a shorter table of days has to do.
    days = merged(report.cells, DAY, report.zone)
    every = step // DAY
    return grouped(days, list(range(0, len(days), every)))


def _drawn(report: Report, cells: Cells, names: list[str], words: Words, part: str) -> Picture:
    canvas = Canvas(len(names) * _ROW_MM + 16.0, left=34.0, right=1.0, top=5.0, bottom=9.0)
    axes = canvas.axes
    for row, name in enumerate(names):
        grades = [proposals().grade(int(have), int(due)) or "" for have, due in zip(*cells.devices[name], strict=True)]
        for grade in sorted({*grades}):
            look = GRADES.get(grade, NO_GRADE)
            at = [(column, 1) for column, each in enumerate(grades) if each == grade]
            axes.broken_barh(at, (row, 1), facecolor=look.colour, hatch=look.hatch or None, edgecolor="white",
                             linewidth=0.5)  # fmt: skip
        for column, grade in enumerate(grades):
            if grade not in _PLAIN and len(cells) <= MOST_COLUMNS:
                axes.text(column + 0.5, row + 0.5, grade, ha="center", va="center", size=5.5,
                          color="white" if grade in _DARK else "#333333")  # fmt: skip
    axes.set_xlim(0, max(len(cells), 1))
    axes.set_ylim(len(names), 0)
    axes.set_yticks([row + 0.5 for row in range(len(names))], [elided(name, 20) for name in names])
    _columns(canvas, cells, report)
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    entries = [(words(f"grade.{grade}"), look) for grade, look in GRADES.items()]
    canvas.legend([*entries, (words("grade.none"), NO_GRADE)])
    return canvas.picture(part, words("coverage.alt"))


def _columns(canvas: Canvas, cells: Cells, report: Report) -> None:
    most = 12
    every = -(-len(cells) // most)
    marks = range(0, len(cells), max(every, 1))
    daily = report.recorded.length > 2 * DAY
    labels = [
        f"{datetime.fromtimestamp(int(cells.start[mark]) // SECOND, report.zone):{'%m-%d' if daily else '%H:%M'}}"
        for mark in marks
    ]
    canvas.axes.xaxis.tick_top()
    canvas.axes.set_xticks([mark + 0.5 for mark in marks], labels)
